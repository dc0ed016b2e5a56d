/** The head and tail of a packed store: everything but its rows, checked (format: store-format.ts). */
import { readSync } from 'node:fs';
import { type OpenSafetensors, openSafetensors, type SafetensorsEntry } from '../artifacts/checkpoint/safetensors.ts';
import {
  STORE_ALIGNMENT,
  STORE_DTYPES,
  STORE_FORMAT,
  STORE_VERSION,
  type StoreDtype,
} from '../artifacts/store-format.ts';
import { RelicError, shown } from '../errors.ts';

/** Who made the store, and from what. */
export interface StoreIdentity {
  readonly source: string;
  readonly fingerprint: string;
}

/** A store opened and understood. */
export interface OpenStore {
  readonly identity: StoreIdentity;
  readonly dtype: StoreDtype;
  readonly dim: number;
  readonly ids: readonly string[];
  /** `[ids.length + 1]` */
  readonly rowOffsets: Float64Array;
  /** Byte offset in the file of row 0. */
  readonly dataStart: number;
  readonly fd: number;
  close(): void;
}

/** @throws RELIC_STORE_INVALID saying what does not fit; the file is closed then. */
export function openStore(path: string): OpenStore {
  const file = openFile(path);
  try {
    return { ...readIndex(path, file), fd: file.fd, close: file.close };
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Fills `bytes` from byte `start` of an open file. @throws RELIC_STORE_INVALID when the file ends before. */
export function readRange(path: string, fd: number, bytes: Uint8Array, start: number): void {
  for (let done = 0; done < bytes.length; ) {
    const count = readSync(fd, bytes, done, bytes.length - done, start + done);
    if (count === 0) throw invalid(path, `${bytes.length} bytes from byte ${start} on`, 'the end of the file');
    done += count;
  }
}

function openFile(path: string): OpenSafetensors {
  try {
    return openSafetensors(path);
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    throw invalid(path, 'a whole safetensors file', reason.replace(`${path}: `, ''), error);
  }
}

function readIndex(path: string, file: OpenSafetensors): Omit<OpenStore, 'fd' | 'close'> {
  const { metadata, dataStart } = file;
  demand(path, metadata.format === STORE_FORMAT, `format ${STORE_FORMAT}`, shown(metadata.format));
  demand(path, metadata.version === STORE_VERSION, `version ${STORE_VERSION}`, shown(metadata.version));
  const embeddings = tensor(path, file, 'embeddings', 2, STORE_DTYPES);
  const offsetTensor = tensor(path, file, 'offsets', 1, ['int64']);
  const idTensor = tensor(path, file, 'ids', 1, ['uint8']);
  const rowsStart = dataStart + embeddings.begin;
  demand(path, rowsStart % STORE_ALIGNMENT === 0, `rows from a multiple of ${STORE_ALIGNMENT} on`, `byte ${rowsStart}`);

  const contentOf = ({ begin, end }: SafetensorsEntry) => {
    const bytes = new Uint8Array(end - begin);
    readRange(path, file.fd, bytes, dataStart + begin);
    return bytes;
  };
  const rowOffsets = Float64Array.from(new BigInt64Array(contentOf(offsetTensor).buffer), Number);
  const ids = new TextDecoder().decode(contentOf(idTensor)).split('\n');
  const [totalRows, dim] = embeddings.shape;
  checkIndex(path, rowOffsets, ids, totalRows);
  return {
    identity: { source: metadata.source ?? '', fingerprint: metadata.fingerprint ?? '' },
    dtype: embeddings.dtype as StoreDtype,
    dim,
    ids,
    rowOffsets,
    dataStart: rowsStart,
  };
}

function tensor(
  path: string,
  { header }: OpenSafetensors,
  name: string,
  rank: number,
  dtypes: readonly string[],
): SafetensorsEntry {
  const entry = header.get(name);
  if (entry !== undefined && entry.shape.length === rank && dtypes.includes(entry.dtype)) return entry;
  const received = entry === undefined ? 'none of that name' : `${entry.dtype} of rank ${entry.shape.length}`;
  throw invalid(path, `a tensor ${name}, ${dtypes.join(' or ')} of rank ${rank}`, received);
}

function checkIndex(path: string, offsets: Float64Array, ids: readonly string[], totalRows: number): void {
  const count = offsets.length - 1;
  demand(path, ids.length === count, `${count} ids`, `${ids.length}`);
  demand(path, new Set(ids).size === count, 'ids that differ', 'one twice');
  const ends = `${offsets[0]} to ${offsets[count]}`;
  demand(path, offsets[0] === 0 && offsets[count] === totalRows, `offsets from 0 to ${totalRows}`, ends);
  for (let i = 0; i < count; i++) {
    if (offsets[i] >= offsets[i + 1]) throw invalid(path, 'growing offsets', `${offsets[i]} then ${offsets[i + 1]}`);
  }
}

function demand(path: string, good: boolean, expected: string, received: string): void {
  if (!good) throw invalid(path, expected, received);
}

function invalid(path: string, expected: string, received: string, cause?: unknown): RelicError {
  return new RelicError('RELIC_STORE_INVALID', 'Not a usable packed embedding store', {
    where: path,
    expected,
    received,
    fix: 'delete the file, and it is packed again; if data_config.embeddings.path names it, run relic-train pack',
    cause,
  });
}
