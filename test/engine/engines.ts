/** The engines present on this machine: every engine test runs on each of them. */
import type { EmbeddingStore, Engine } from '../../src/engine/engine.ts';
import { createTypescriptEngine } from '../../src/engine/typescript/engine.ts';

export function presentEngines(): Engine[] {
  return [createTypescriptEngine('test')];
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
