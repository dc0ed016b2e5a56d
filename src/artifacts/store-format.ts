/**
 * The packed embedding store, version 1: a `.safetensors` file that the engines map into memory.
 *
 * - `embeddings` F32, F16 or BF16 `[total residues, dim]`: the proteins' rows one after another. Its first byte lies at
 *   a multiple of {@link STORE_ALIGNMENT} in the file, so that mapped rows suit vector loads.
 * - `offsets` I64 `[n + 1]`: protein i has the rows from `offsets[i]` up to `offsets[i + 1]`.
 * - `ids` U8: the n ids in UTF-8, joined by line feeds.
 * - metadata: format, version, source, fingerprint, dim, count; all strings, as the format demands.
 */
import { elementSize, safetensorsName } from './checkpoint/tensors.ts';

export const STORE_FORMAT = 'relic-train-embeddings';
export const STORE_VERSION = '1';
export const STORE_ALIGNMENT = 64;

/** Number formats of the rows, by their config names. */
export const STORE_DTYPES = ['float32', 'float16', 'bfloat16'] as const;
export type StoreDtype = (typeof STORE_DTYPES)[number];

export interface StoreShape {
  readonly dtype: StoreDtype;
  readonly dim: number;
  /** Proteins. */
  readonly count: number;
  /** Residues of all proteins. */
  readonly totalRows: number;
  /** Length of the `ids` tensor. */
  readonly idBytes: number;
}

/** Byte sizes of a store's three tensors, in file order. */
export function storeBytes(shape: StoreShape): { embeddings: number; offsets: number; ids: number } {
  return {
    embeddings: shape.totalRows * shape.dim * elementSize(shape.dtype),
    offsets: (shape.count + 1) * 8,
    ids: shape.idBytes,
  };
}

/** The file's head: its 8-byte length, then JSON padded with blanks so that `embeddings` starts aligned. */
export function storeHeader(shape: StoreShape, identity: { source: string; fingerprint: string }): Buffer {
  const bytes = storeBytes(shape);
  const offsetsAt = bytes.embeddings;
  const idsAt = offsetsAt + bytes.offsets;
  const json = JSON.stringify({
    __metadata__: {
      format: STORE_FORMAT,
      version: STORE_VERSION,
      source: identity.source,
      fingerprint: identity.fingerprint,
      dim: String(shape.dim),
      count: String(shape.count),
    },
    embeddings: {
      dtype: safetensorsName(shape.dtype),
      shape: [shape.totalRows, shape.dim],
      data_offsets: [0, offsetsAt],
    },
    offsets: { dtype: 'I64', shape: [shape.count + 1], data_offsets: [offsetsAt, idsAt] },
    ids: { dtype: 'U8', shape: [shape.idBytes], data_offsets: [idsAt, idsAt + bytes.ids] },
  });
  const length = Math.ceil((8 + Buffer.byteLength(json)) / STORE_ALIGNMENT) * STORE_ALIGNMENT;
  const header = Buffer.alloc(length, ' ');
  header.writeBigUInt64LE(BigInt(length - 8), 0);
  header.write(json, 8);
  return header;
}
