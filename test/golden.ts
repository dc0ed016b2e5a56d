/** Where the golden vectors and runs are: `RELIC_GOLDEN_DIR` when set, else the part of them kept in `test/golden`. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export function goldenDir(): string {
  return process.env.RELIC_GOLDEN_DIR ?? join(dirname(fileURLToPath(import.meta.url)), 'golden');
}

export type GoldenArray = Float32Array | Float64Array | BigInt64Array | Uint8Array;

export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly data: GoldenArray;
}

const KINDS = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array, U8: Uint8Array } as const;

/** Reads `vectors/<name>.safetensors`: its tensors and the JSON description in its metadata. */
export function goldenVectors<Case = Record<string, unknown>>(
  name: string,
): { tensors: Map<string, GoldenTensor>; case: Case } {
  const bytes = readFileSync(join(goldenDir(), 'vectors', `${name}.safetensors`));
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength));
  const tensors = new Map<string, GoldenTensor>();
  for (const [key, entry] of Object.entries<{ dtype: keyof typeof KINDS; shape: number[]; data_offsets: number[] }>(
    header,
  )) {
    if (key === '__metadata__') continue;
    const [from, to] = entry.data_offsets.map((offset) => 8 + headerLength + offset);
    // Copied so that the view starts at a multiple of its element size.
    const copy = bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + to) as ArrayBuffer;
    tensors.set(key, { shape: entry.shape, data: new KINDS[entry.dtype](copy) });
  }
  return { tensors, case: JSON.parse(header.__metadata__.case) };
}

export function hasGoldenVectors(name: string): boolean {
  return existsSync(join(goldenDir(), 'vectors', `${name}.safetensors`));
}
