/** The safetensors format (github.com/huggingface/safetensors): a JSON header, then the tensors' bytes with no gaps. */
import { RelicError } from '../../errors.ts';
import { writeFileAtomic } from '../files.ts';
import { duplicateKey } from './json-keys.ts';
import { type ByteSource, bytesSource, damaged, fileSource } from './source.ts';
import {
  bytesOf,
  type DType,
  dtypeNames,
  elementCount,
  elementSize,
  elementsOf,
  type NamedTensor,
  safetensorsName,
  type TensorFile,
} from './tensors.ts';

/** Where a tensor is: bytes `begin` to `end`, counted from `dataStart` of the file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly header: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Record<string, string>;
  /** File offset of the first data byte; a multiple of 8 in files written here. */
  readonly dataStart: number;
}

/** A file opened for reading ranges of its tensors; close it. */
export interface OpenSafetensors extends SafetensorsHeader {
  readonly fd: number;
  close(): void;
}

/** A tensor to write whose bytes come in parts, so that they need not fit in memory. */
export interface TensorStream {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly chunks: Iterable<Uint8Array>;
}

/** The limit of the reference implementation. */
const LARGEST_HEADER = 100_000_000;
const LARGEST_RANK = 64;
const METADATA = '__metadata__';
const DTYPE_OF = new Map(dtypeNames.map((dtype) => [safetensorsName(dtype), dtype]));

/**
 * Opens a file and checks its whole header; no tensor is read.
 * @throws RelicError RELIC_CHECKPOINT_NOT_FOUND, RELIC_CHECKPOINT_INVALID, RELIC_CHECKPOINT_UNSUPPORTED (dtype).
 */
export function openSafetensors(path: string): OpenSafetensors {
  const source = fileSource(path);
  try {
    return { ...readHeader(source), fd: source.fd, close: source.close };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Reads every tensor. Throws as {@link openSafetensors}. */
export function readSafetensors(path: string): TensorFile {
  const source = fileSource(path);
  try {
    return readSafetensorsSource(source);
  } finally {
    source.close();
  }
}

/** As {@link readSafetensors}, from memory; tensors may be views of `bytes`. */
export function readSafetensorsBytes(bytes: Uint8Array, label = 'checkpoint'): TensorFile {
  return readSafetensorsSource(bytesSource(bytes, label));
}

/** As {@link readSafetensors}, from an opened source. */
export function readSafetensorsSource(source: ByteSource): TensorFile {
  const { header, metadata, dataStart } = readHeader(source);
  const tensors = new Map<string, NamedTensor>();
  for (const { name, dtype, shape, begin, end } of header.values()) {
    const data = elementsOf(dtype, source.read(dataStart + begin, end - begin));
    tensors.set(name, { name, dtype, shape, data });
  }
  return { tensors, metadata };
}

/** True when the source begins as a safetensors file does: a plausible header length, then `{`. */
export function isSafetensors(source: ByteSource): boolean {
  if (source.size < 10) return false;
  const start = Buffer.from(source.read(0, 9));
  return start.readBigUInt64LE() <= LARGEST_HEADER && start[8] === 0x7b;
}

function readHeader(source: ByteSource): SafetensorsHeader {
  const length = source.size < 8 ? -1 : Number(Buffer.from(source.read(0, 8)).readBigUInt64LE());
  if (length < 0 || length > LARGEST_HEADER || 8 + length > source.size)
    throw damaged(source.label, `safetensors header of ${length} bytes in a file of ${source.size}`);
  const json = parseObject(source, Buffer.from(source.read(8, length)));
  const dataStart = 8 + length;
  const header = new Map<string, SafetensorsEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA) metadata = checkMetadata(source, value);
    else header.set(name, checkEntry(source, name, value));
  }
  checkLayout(source, [...header.values()], source.size - dataStart);
  return { header, metadata, dataStart };
}

function parseObject(source: ByteSource, bytes: Buffer): Record<string, unknown> {
  let value: unknown;
  let repeated: string | undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text);
    repeated = duplicateKey(text);
  } catch (error) {
    throw damaged(source.label, `the safetensors header is not JSON (${(error as Error).message})`, error);
  }
  if (!isObject(value)) throw damaged(source.label, 'the safetensors header is not a JSON object');
  if (repeated !== undefined) throw damaged(source.label, `header key ${JSON.stringify(repeated)} is there twice`);
  return value;
}

function checkMetadata(source: ByteSource, value: unknown): Record<string, string> {
  const texts = isObject(value) && Object.values(value).every((text) => typeof text === 'string');
  if (!texts) throw damaged(source.label, `${METADATA} is not a mapping of strings`);
  return value as Record<string, string>;
}

function checkEntry(source: ByteSource, name: string, value: unknown): SafetensorsEntry {
  const what = `tensor ${JSON.stringify(name)}`;
  const { dtype: kind, shape, data_offsets: offsets } = isObject(value) ? value : {};
  if (
    typeof kind !== 'string' ||
    !isCounts(shape) ||
    shape.length > LARGEST_RANK ||
    !isCounts(offsets) ||
    offsets.length !== 2
  )
    throw damaged(source.label, `${what} lacks a valid dtype, shape or data_offsets`);
  const dtype = DTYPE_OF.get(kind);
  if (dtype === undefined)
    throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', `${what}: dtype`, {
      where: source.label,
      expected: [...DTYPE_OF.keys()].join(', '),
      received: kind.slice(0, 60),
      fix: 'save it in one of these dtypes',
    });
  const [begin, end] = offsets;
  if (end - begin !== elementCount(shape) * elementSize(dtype))
    throw damaged(source.label, `${what} of ${kind} [${shape}] has ${end - begin} bytes`);
  return { name, dtype, shape, begin, end };
}

/** The format allows neither overlaps nor gaps, so every byte has one owner. */
function checkLayout(source: ByteSource, entries: SafetensorsEntry[], dataLength: number): void {
  let at = 0;
  for (const { name, begin, end } of entries.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at)
      throw damaged(source.label, `tensor ${JSON.stringify(name)} starts at data byte ${begin} instead of ${at}`);
    at = end;
  }
  if (at !== dataLength) throw damaged(source.label, `tensors take ${at} bytes, the file has ${dataLength}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/**
 * Writes tensors in their order; the data starts at a multiple of 8 bytes. The file appears whole or not at all.
 * @throws RelicError as writeFileAtomic; RangeError when a stream's bytes are not as many as its shape says.
 */
export function writeSafetensors(
  path: string,
  tensors: Iterable<NamedTensor | TensorStream>,
  metadata: Record<string, string> = {},
): void {
  const list = [...tensors];
  writeFileAtomic(path, safetensorsChunks(list, metadata));
}

function* safetensorsChunks(
  tensors: readonly (NamedTensor | TensorStream)[],
  metadata: Record<string, string>,
): Generator<Uint8Array> {
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA, metadata]] : [];
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    const end = at + elementCount(shape) * elementSize(dtype);
    entries.push([name, { dtype: safetensorsName(dtype), shape, data_offsets: [at, end] }]);
    at = end;
  }
  const text = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  text.copy(header, 8);
  yield header;
  for (const tensor of tensors) {
    let left = elementCount(tensor.shape) * elementSize(tensor.dtype);
    for (const chunk of 'chunks' in tensor ? tensor.chunks : [bytesOf(tensor.data)]) {
      left -= chunk.byteLength;
      yield chunk;
    }
    if (left !== 0) throw new RangeError(`tensor ${tensor.name}: ${left} bytes missing for shape [${tensor.shape}]`);
  }
}
