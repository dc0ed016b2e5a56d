/** The engines present on this machine: every engine test runs on each of them. */
import type { EmbeddingStore, Engine } from '../../src/engine/engine.ts';
import { createNativeEngine } from '../../src/engine/native/engine.ts';
import { findBinary } from '../../src/engine/native/loader.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';

export interface PresentEngine extends Engine {
  /** Tells the engines apart in the names of tests. */
  readonly label: string;
}

/** The binary of the native engine that this machine runs; undefined where there is none. */
export const { loaded: nativeBinary } = await findBinary();

/** The native engine appears once for each of its kernel sets, and once more with one thread. */
export function presentEngines(): PresentEngine[] {
  const native = (isa: string, threads: number) => ({
    ...createNativeEngine(nativeBinary!, { threads, isa, precision: 'fp32', reason: 'test' }),
    label: `native ${isa} x ${threads}`,
  });
  const isas = nativeBinary?.isas ?? [];
  return [
    { ...createTypescriptEngine('test'), label: 'typescript' },
    ...isas.map((isa) => native(isa, 2)),
    ...isas.slice(0, 1).map((isa) => native(isa, 1)),
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
