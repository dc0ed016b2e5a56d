/** The order in which an epoch visits pairs, and its cutting into batches; equal to PyTorch's DataLoader. */
import type { TorchGenerator } from '../random/torch-generator.ts';

export interface SamplerOptions {
  /** Pairs in the split. */
  readonly length: number;
  /** The run's global generator, from which a sampler draws what a DataLoader over it would draw. */
  readonly generator: TorchGenerator;
  /** Seed of the orders that do not come from `generator`. */
  readonly seed: number;
  readonly rank: number;
  readonly worldSize: number;
}

export interface Sampler {
  /**
   * Pair indices of this rank for an epoch, in order. Call it once an epoch, in epoch order: it advances the global
   * generator.
   *
   * @param epoch counted from 0.
   */
  order(epoch: number): Int32Array;
}

export type SamplerFactory = (options: SamplerOptions) => Sampler;

/**
 * Draws and drops the base seed of worker processes. Every DataLoader, shuffled or not, takes it from the global
 * generator when iteration starts, before its sampler draws anything.
 */
export function drawBaseSeed(generator: TorchGenerator): void {
  generator.random64();
}

/**
 * Consecutive batches of `order`, as views of it.
 *
 * @param dropLast leaves out a last batch that is not full.
 */
export function batchesOf(order: Int32Array, batchSize: number, dropLast: boolean): Int32Array[] {
  const batches: Int32Array[] = [];
  const end = dropLast ? order.length - (order.length % batchSize) : order.length;
  for (let at = 0; at < end; at += batchSize) batches.push(order.subarray(at, at + batchSize));
  return batches;
}
