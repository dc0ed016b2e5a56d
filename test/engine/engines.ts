/** The engines present on this machine: every engine test runs on each of them. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCudaEngine } from '../../src/engine/cuda/engine.ts';
import type { EmbeddingStore, Engine } from '../../src/engine/engine.ts';
import { createNativeEngine } from '../../src/engine/native/engine.ts';
import { findBinary } from '../../src/engine/native/loader.ts';
import { listEngines, selectEngine } from '../../src/engine/select.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';

export interface PresentEngine extends Engine {
  /** Tells the engines apart in the names of tests. */
  readonly label: string;
}

/** The binary of the native engine that this machine runs; undefined where there is none. */
export const { loaded: nativeBinary } = await findBinary();

/**
 * The GPU engine on the CPU (native/test/cuda_emulation.h), which scripts/native-tests.mjs builds: the very kernels, at
 * a thousandth of the speed. Undefined where it was not built.
 */
const EMULATED = fileURLToPath(
  new URL('../../build/native-tests/native-tests/librelic_cuda_emulated.so', import.meta.url),
);

/** The NCCL of ranks within one process. */
const EMULATED_NCCL = join(dirname(EMULATED), 'librelic_nccl_emulated.so');

export function emulatedCuda(
  precision: 'fp32' | 'bf16' | 'fp16',
  options: { ampEvaluation?: boolean; memoryLimit?: number } = {},
): Engine | undefined {
  if (nativeBinary === undefined || !existsSync(EMULATED)) return undefined;
  const { binding } = nativeBinary;
  const devices = binding.cudaDevices(EMULATED);
  return createCudaEngine({
    binding,
    library: EMULATED,
    devices,
    device: 0,
    precision,
    cublasPaths: [],
    ncclPaths: [EMULATED_NCCL],
    reason: 'test',
    ...options,
  });
}

/** The GPU engine on a real GPU; undefined where there is none. */
const gpu: Engine | undefined = await realCuda();

async function realCuda(): Promise<Engine | undefined> {
  const cuda = (await listEngines()).find(({ name }) => name === 'cuda');
  const request = { device: 'cuda', engine: 'cuda', threads: null, cpu_precision: 'fp32' } as const;
  return cuda?.available ? selectEngine(request) : undefined;
}

function labelled(engine: Engine | undefined, label: string): PresentEngine[] {
  return engine === undefined ? [] : [{ ...engine, label }];
}

/** The native engine appears once for each of its kernel sets, and once more with one thread. */
export function presentEngines(): PresentEngine[] {
  const native = (isa: string, threads: number) => ({
    ...createNativeEngine(nativeBinary!, {
      threads,
      isa,
      precision: 'fp32',
      encoderCacheBytes: 2 ** 30,
      reason: 'test',
    }),
    label: `native ${isa} x ${threads}`,
  });
  const isas = nativeBinary?.isas ?? [];
  return [
    { ...createTypescriptEngine('test'), label: 'typescript' },
    ...isas.map((isa) => native(isa, 2)),
    ...isas.slice(0, 1).map((isa) => native(isa, 1)),
    ...[emulatedCuda('fp32')].flatMap((engine) => labelled(engine, 'cuda (emulated)')),
    ...[gpu].flatMap((engine) => labelled(engine, 'cuda')),
  ];
}

/** A store over rows in memory; `rows[i]` holds whole rows of `dim` values. */
export function memoryStore(dim: number, rows: readonly Float32Array[]): EmbeddingStore {
  return {
    dim,
    count: rows.length,
    lengths: Int32Array.from(rows, (each) => each.length / dim),
    read: (index, out, at) => out.set(rows[index], at),
  };
}
