/** Reads packed embedding stores (format: store-format.ts): opened in milliseconds, rows fetched as they are needed. */
import { elementSize, elementsOf, toFloat32 } from '../artifacts/checkpoint/tensors.ts';
import type { StoreDtype } from '../artifacts/store-format.ts';
import { RelicError, shown } from '../errors.ts';
import { openStore, readRange, type StoreIdentity } from './store-index.ts';

/** What an engine needs to map the store itself. */
export interface StoreFile {
  readonly path: string;
  /** Byte offset in the file of row 0; a multiple of 64. */
  readonly dataStart: number;
  readonly dtype: StoreDtype;
  /** `[count + 1]`: protein i has the rows from `rowOffsets[i]` up to `rowOffsets[i + 1]`, before truncation. */
  readonly rowOffsets: Float64Array;
}

/** An open store. Proteins are numbered in the order of {@link ids}. */
export class PackedStore {
  readonly dim: number;
  readonly count: number;
  readonly ids: readonly string[];
  /** `[count]`: residues in use, min(stored, maxLength). */
  readonly lengths: Int32Array;
  /** Proteins that `maxLength` shortens. */
  readonly truncated: number;
  readonly identity: StoreIdentity;
  readonly file: StoreFile;
  private readonly indices: Map<string, number>;
  private open: { readonly fd: number; close(): void } | undefined;

  /**
   * @param options.maxLength residues of a protein to use, from its start (`data_config.max_sequence_length`).
   * @throws RELIC_STORE_INVALID when the file is missing, damaged, cut short or of another version.
   */
  static open(path: string, options: { readonly maxLength: number }): PackedStore {
    return new PackedStore(path, options.maxLength);
  }

  private constructor(path: string, maxLength: number) {
    const store = openStore(path);
    const { ids, dim, dtype, dataStart, rowOffsets, identity } = store;
    this.open = store;
    this.indices = new Map(ids.map((id, i) => [id, i]));
    this.ids = ids;
    this.count = ids.length;
    this.dim = dim;
    this.identity = identity;
    this.file = { path, dataStart, dtype, rowOffsets };
    this.lengths = Int32Array.from(ids, (_, i) => Math.min(this.residues(i), maxLength));
    this.truncated = ids.reduce((sum, _, i) => sum + (this.residues(i) > maxLength ? 1 : 0), 0);
  }

  /** -1 for an id that the store does not have. */
  indexOf(id: string): number {
    return this.indices.get(id) ?? -1;
  }

  /** Rows stored for a protein, before truncation. */
  residues(index: number): number {
    const { rowOffsets } = this.file;
    return rowOffsets[index + 1] - rowOffsets[index];
  }

  /** Writes the `[lengths[index], dim]` rows of a protein into `out` from element `at` on. */
  read(index: number, out: Float32Array, at: number): void {
    const { dtype, path, dataStart, rowOffsets } = this.file;
    if (this.open === undefined) throw new RelicError('RELIC_STORE_INVALID', 'The store is closed', { where: path });
    const elements = this.lengths[index] * this.dim;
    if (!(elements > 0 && at >= 0 && at + elements <= out.length)) {
      throw new RelicError('RELIC_BATCH_INVALID', `Protein ${shown(index)} cannot be read into the buffer`, {
        where: path,
        expected: `an index below ${this.count} and room for its rows`,
        received: `${out.length} elements, written from ${at} on`,
      });
    }
    const target = out.subarray(at, at + elements);
    const direct = dtype === 'float32';
    const bytes = direct
      ? new Uint8Array(target.buffer, target.byteOffset, target.byteLength)
      : new Uint8Array(elements * elementSize(dtype));
    readRange(path, this.open.fd, bytes, dataStart + rowOffsets[index] * this.dim * elementSize(dtype));
    if (!direct) target.set(toFloat32({ dtype, data: elementsOf(dtype, bytes) }));
  }

  /** Closes the file. Further reads throw. */
  close(): void {
    this.open?.close();
    this.open = undefined;
  }
}
