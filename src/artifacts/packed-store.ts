/** Writes packed embedding stores (format: store-format.ts), one protein in memory at a time. */
import * as nodeFs from 'node:fs';
import { dirname } from 'node:path';
import { RelicError, shown } from '../errors.ts';
import { checkFinite } from './check-rows.ts';
import { bytesOf, float32ToBfloat16, float32ToFloat16, type TensorData } from './checkpoint/tensors.ts';
import { ensureDirectory, type FileSystem, writeFileAtomic } from './files.ts';
import { type StoreDtype, storeBytes, storeHeader } from './store-format.ts';

export interface PackedStoreContents {
  /** Features per residue. */
  readonly dim: number;
  readonly dtype: StoreDtype;
  /** Name and fingerprint of the embedding source, kept in the file. */
  readonly source: string;
  readonly fingerprint: string;
  /** In the order of the store. Unique, without line feeds. */
  readonly ids: readonly string[];
  /** Residues of a protein, at least 1. Asked once an id, before the first row is. */
  lengthOf(id: string): number;
  /** `[lengthOf(id), dim]`, row-major. */
  rowsOf(id: string): Float32Array;
  /** Called after each protein. */
  onProgress?(done: number, total: number): void;
}

type StoreFileSystem = FileSystem & Pick<typeof nodeFs, 'statfsSync'>;

/**
 * Packs every id's rows into one file at `path`, which appears whole or not at all.
 *
 * @returns what was written.
 * @throws RELIC_EMBEDDING_INVALID for rows of a wrong size or with a value that is not finite in `dtype`;
 *   RELIC_NO_SPACE with the bytes needed, before anything is written where the disk is known to be too small;
 *   RELIC_NOT_WRITABLE, RELIC_IO.
 */
export function writePackedStore(
  path: string,
  contents: PackedStoreContents,
  fs: StoreFileSystem = nodeFs,
): { readonly bytes: number; readonly residues: number } {
  const { ids, dim, dtype } = contents;
  const idBytes = idTensor(ids);
  const offsets = offsetTensor(contents);
  const totalRows = Number(offsets[ids.length]);
  const shape = { dtype, dim, count: ids.length, totalRows, idBytes: idBytes.length };
  const header = storeHeader(shape, contents);
  const sizes = storeBytes(shape);
  const bytes = header.length + sizes.embeddings + sizes.offsets + sizes.ids;

  ensureDirectory(dirname(path), fs);
  requireSpace(path, bytes, fs);
  try {
    writeFileAtomic(path, chunks(contents, header, offsets, idBytes), fs);
  } catch (error) {
    throw error instanceof RelicError && error.code === 'RELIC_NO_SPACE' ? noSpace(path, bytes, error) : error;
  }
  return { bytes, residues: totalRows };
}

function* chunks(
  contents: PackedStoreContents,
  header: Uint8Array,
  offsets: BigInt64Array,
  idBytes: Uint8Array,
): Generator<Uint8Array> {
  const { ids, dtype, dim } = contents;
  yield header;
  for (const [i, id] of ids.entries()) {
    const rows = contents.rowsOf(id);
    const expected = Number(offsets[i + 1] - offsets[i]) * dim;
    if (rows.length !== expected) {
      throw invalid(contents, id, `${expected} numbers (${expected / dim} residues of ${dim})`, `${rows.length}`);
    }
    checkFinite({ protein: id, rows, dim, dtype, where: contents.source });
    yield bytesOf(encoded(rows, dtype));
    contents.onProgress?.(i + 1, ids.length);
  }
  yield bytesOf(offsets);
  yield idBytes;
}

function encoded(rows: Float32Array, dtype: StoreDtype): TensorData {
  if (dtype === 'float16') return float32ToFloat16(rows);
  return dtype === 'bfloat16' ? float32ToBfloat16(rows) : rows;
}

/** `[n + 1]`: the first row of each protein, then the number of rows. */
function offsetTensor(contents: PackedStoreContents): BigInt64Array {
  const offsets = new BigInt64Array(contents.ids.length + 1);
  for (const [i, id] of contents.ids.entries()) {
    const length = contents.lengthOf(id);
    if (!(Number.isInteger(length) && length > 0)) throw invalid(contents, id, 'at least one residue', shown(length));
    offsets[i + 1] = offsets[i] + BigInt(length);
  }
  return offsets;
}

function idTensor(ids: readonly string[]): Buffer {
  const bad = ids.find((id) => id === '' || id.includes('\n'));
  if (bad !== undefined || ids.length === 0 || new Set(ids).size !== ids.length) {
    throw new RelicError('RELIC_EMBEDDING_INVALID', 'These protein ids cannot be packed', {
      expected: 'one or more ids, all different, none empty or with a line break',
      received: bad === undefined ? `${ids.length} ids, ${new Set(ids).size} different` : shown(bad),
    });
  }
  return Buffer.from(ids.join('\n'));
}

function requireSpace(path: string, bytes: number, fs: StoreFileSystem): void {
  const { blocks, bavail, bsize } = fs.statfsSync(dirname(path));
  // Some network file systems report no sizes at all; there the write itself must tell.
  if (blocks > 0 && bavail * bsize < bytes) throw noSpace(path, bytes, undefined, bavail * bsize);
}

function noSpace(path: string, bytes: number, cause: unknown, free?: number): RelicError {
  return new RelicError('RELIC_NO_SPACE', 'No room on the disk for the packed embedding store', {
    where: path,
    expected: `${bytes} bytes free`,
    ...(free === undefined ? {} : { received: `${free}` }),
    fix: 'free space, set data_config.embeddings.store_dir to another disk, or dtype to float16',
    cause,
  });
}

function invalid(contents: PackedStoreContents, id: string, expected: string, received: string): RelicError {
  return new RelicError('RELIC_EMBEDDING_INVALID', `Embedding of protein ${shown(id)} has a wrong size`, {
    where: contents.source,
    expected,
    received,
    fix: 'compute this embedding again',
  });
}
