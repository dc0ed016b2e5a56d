/** Reading a checkpoint whatever its format, and matching it with what a model expects. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nearest, type Problem, RelicError } from '../../errors.ts';
import { isZip, readPthSource } from './pth.ts';
import { isSafetensors, readSafetensorsSource } from './safetensors.ts';
import { type ByteSource, damaged, fileSource } from './source.ts';
import type { NamedTensor } from './tensors.ts';

/** A tensor that a model needs. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

const CHECKPOINT_FILE = /\.(pth|pt|safetensors)$/;
const MOST_HINTS = 5;

/**
 * Reads the tensors of a `.pth`, `.pt` or `.safetensors` file, told apart by content. A `module.` in front of every
 * name (a state dict saved from DistributedDataParallel) is taken away.
 * @throws RelicError RELIC_CHECKPOINT_NOT_FOUND (naming checkpoints nearby), _INVALID, _UNSAFE, _UNSUPPORTED.
 */
export function readCheckpoint(path: string): Map<string, NamedTensor> {
  const source = openCheckpoint(path);
  try {
    return withoutModulePrefix(readAny(source));
  } finally {
    source.close();
  }
}

function openCheckpoint(path: string): ByteSource {
  try {
    return fileSource(path);
  } catch (error) {
    if (!(error instanceof RelicError) || error.code !== 'RELIC_CHECKPOINT_NOT_FOUND') throw error;
    const nearby = nearbyCheckpoints(path);
    throw new RelicError('RELIC_CHECKPOINT_NOT_FOUND', 'checkpoint not found', {
      where: path,
      fix: nearby.length > 0 ? `nearby there is ${nearby.join(', ')}` : 'check the path; no checkpoint is nearby',
      cause: error,
    });
  }
}

/** Checkpoints in the nearest directory above `path` that exists, or in its folders. */
function nearbyCheckpoints(path: string): string[] {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    try {
      const found: string[] = [];
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        const inside = entry.isDirectory() ? readdirSync(join(directory, entry.name)) : [];
        const names = [entry.name, ...inside.map((name) => join(entry.name, name))];
        found.push(...names.filter((name) => CHECKPOINT_FILE.test(name)).map((name) => join(directory, name)));
      }
      return found.sort().slice(0, MOST_HINTS);
    } catch {
      if (dirname(directory) === directory) return [];
    }
  }
}

function readAny(source: ByteSource): Map<string, NamedTensor> {
  if (isZip(source)) return readPthSource(source).tensors;
  if (isSafetensors(source)) return readSafetensorsSource(source).tensors;
  const start = source.read(0, Math.min(2, source.size));
  // 0x80 begins every pickle of protocol 2 and above.
  if (start[0] === 0x80) return readPthSource(source).tensors;
  throw damaged(source.label, source.size === 0 ? 'the file is empty' : 'neither a PyTorch nor a safetensors file');
}

function withoutModulePrefix(tensors: Map<string, NamedTensor>): Map<string, NamedTensor> {
  const prefix = 'module.';
  if (tensors.size === 0 || ![...tensors.keys()].every((name) => name.startsWith(prefix))) return tensors;
  return new Map(
    [...tensors.values()].map((tensor) => {
      const name = tensor.name.slice(prefix.length);
      return [name, { ...tensor, name }];
    }),
  );
}

/**
 * The checkpoint's tensors in the order of `expected`.
 * @param where the file, for the error.
 * @throws RelicError RELIC_CHECKPOINT_MISMATCH listing every missing, unexpected and wrongly shaped tensor at once.
 */
export function matchState(
  checkpoint: ReadonlyMap<string, NamedTensor>,
  expected: readonly ExpectedTensor[],
  where: string,
): NamedTensor[] {
  const names = new Set(expected.map(({ name }) => name));
  const unexpected = [...checkpoint.keys()].filter((name) => !names.has(name));
  const problems: Problem[] = [];
  for (const { name, shape } of expected) {
    const tensor = checkpoint.get(name);
    if (tensor === undefined) {
      const near = nearest(name, unexpected);
      problems.push({ where: name, message: near === undefined ? 'missing' : `missing (the file has ${near})` });
    } else if (tensor.shape.join() !== shape.join()) {
      problems.push({ where: name, message: `expected shape [${shape}], received [${tensor.shape}]` });
    }
  }
  for (const name of unexpected) problems.push({ where: name, message: 'not a part of the model' });
  if (problems.length > 0)
    throw new RelicError('RELIC_CHECKPOINT_MISMATCH', 'the checkpoint does not fit the model', {
      where,
      problems,
      fix: 'use the model_config the checkpoint was trained with, or another checkpoint',
    });
  return expected.map(({ name }) => checkpoint.get(name)!);
}

/** Throws RELIC_CHECKPOINT_INVALID naming the first tensor with a NaN or infinite value. */
export function assertFinite(tensors: Iterable<NamedTensor>, where: string): void {
  for (const { name, dtype, data } of tensors) {
    const at = firstNonFinite(dtype, data);
    if (at >= 0)
      throw new RelicError(
        'RELIC_CHECKPOINT_INVALID',
        `tensor ${JSON.stringify(name)} has a value that is not finite`,
        {
          where,
          received: `NaN or infinity at element ${at} of ${data.length}`,
          fix: 'the training that wrote it diverged: use an earlier checkpoint',
        },
      );
  }
}

function firstNonFinite(dtype: NamedTensor['dtype'], data: NamedTensor['data']): number {
  if (data instanceof Float32Array || data instanceof Float64Array)
    return data.findIndex((value) => !Number.isFinite(value));
  const exponent = dtype === 'float16' ? 0x7c00 : dtype === 'bfloat16' ? 0x7f80 : 0;
  if (exponent === 0) return -1;
  return (data as Uint16Array).findIndex((bits) => (bits & exponent) === exponent);
}
