/**
 * Reads the part of the ZIP format that PyTorch files use (APPNOTE 6.3.9): stored and deflated entries, zip64, CRC-32.
 * Nothing is taken on trust: ranges, overlaps, names, sizes and checksums are checked before bytes are handed out.
 */
import { crc32, inflateRawSync } from 'node:zlib';
import { RelicError } from '../../errors.ts';
import { type ByteSource, damaged } from './source.ts';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const STORED = 0;
const DEFLATED = 8;
/** PyTorch stores its entries, so deflated ones are small in practice; more than this is a zip bomb. */
const LARGEST_INFLATED = 2 ** 30;
const LARGEST_DIRECTORY = 2 ** 27;

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packedSize: number;
  readonly size: number;
  readonly headerAt: number;
  dataAt: number;
}

/** An opened archive. */
export interface ZipArchive {
  /** Entry names, in the order of the central directory. */
  readonly names: readonly string[];
  /** The entry's content, its CRC-32 checked. Throws RELIC_CHECKPOINT_INVALID, also when there is no such entry. */
  read(name: string): Uint8Array;
}

/** Reads and checks the directory of an archive. Throws RELIC_CHECKPOINT_INVALID, or RELIC_CHECKPOINT_UNSUPPORTED for encryption and unknown methods. */
export function openZip(source: ByteSource): ZipArchive {
  const entries = new Map<string, Entry>();
  const { at, size, count } = findDirectory(source);
  const directory = new Fields(source.read(at, size));
  let position = 0;
  for (let index = 0; index < count; index++) {
    const { entry, next } = readCentral(source, directory, position);
    position = next;
    if (entry.name.endsWith('/') && entry.size === 0) continue;
    checkName(source, entry.name);
    if (entries.has(entry.name)) throw damaged(source.label, `zip entry ${JSON.stringify(entry.name)} is there twice`);
    entries.set(entry.name, entry);
  }
  placeEntries(source, [...entries.values()], at);
  return { names: [...entries.keys()], read: (name) => readEntry(source, entries.get(name), name) };
}

/** Little-endian fields; reading past the end is the caller's fault and is checked by it. */
class Fields {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  /** Values over 2^53 lose digits, but stay far outside any file and so fail its range check. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(at, true));
  }
}

function findDirectory(source: ByteSource): { at: number; size: number; count: number } {
  const tailAt = Math.max(0, source.size - 22 - 0xffff);
  const tail = new Fields(source.read(tailAt, source.size - tailAt));
  let end = tail.bytes.length - 22;
  while (end >= 0 && !(tail.u32(end) === END && end + 22 + tail.u16(end + 20) === tail.bytes.length)) end--;
  if (end < 0) throw damaged(source.label, 'the zip end record is missing');
  if (tail.u16(end + 4) !== 0 || tail.u16(end + 6) !== 0) throw damaged(source.label, 'zip archive in several parts');
  let [count, size, at] = [tail.u16(end + 10), tail.u32(end + 12), tail.u32(end + 16)];
  let limit = tailAt + end;
  if (count === 0xffff || size === 0xffffffff || at === 0xffffffff) {
    const locator = new Fields(source.read(limit - 20, 20));
    if (locator.u32(0) !== LOCATOR64) throw damaged(source.label, 'the zip64 locator is missing');
    limit = locator.u64(8);
    const end64 = new Fields(source.read(limit, 56));
    if (end64.u32(0) !== END64) throw damaged(source.label, 'the zip64 end record is missing');
    [count, size, at] = [end64.u64(32), end64.u64(40), end64.u64(48)];
  }
  if (at + size > limit || count * 46 > size || size > LARGEST_DIRECTORY)
    throw damaged(source.label, `zip directory of ${count} entries and ${size} bytes at byte ${at} cannot be`);
  return { at, size, count };
}

function readCentral(source: ByteSource, fields: Fields, at: number): { entry: Entry; next: number } {
  const left = fields.bytes.length - at;
  const variable = left >= 46 ? fields.u16(at + 28) + fields.u16(at + 30) + fields.u16(at + 32) : 0;
  if (left < 46 + variable || fields.u32(at) !== CENTRAL)
    throw damaged(source.label, `the zip directory is broken at its byte ${at}`);
  const nameEnd = at + 46 + fields.u16(at + 28);
  const name = decodeName(source, fields.bytes.subarray(at + 46, nameEnd));
  const method = fields.u16(at + 10);
  if ((fields.u16(at + 8) & 1) !== 0 || (method !== STORED && method !== DEFLATED))
    throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', `zip entry ${JSON.stringify(name)}`, {
      where: source.label,
      expected: 'a stored or deflated entry, not encrypted',
      received: `method ${method}`,
      fix: 'save the file again with torch.save',
    });
  const wide = zip64Fields(fields, nameEnd, nameEnd + fields.u16(at + 30));
  const field = (offset: number) => {
    const value = fields.u32(at + offset);
    return value === 0xffffffff && wide.length > 0 ? wide.shift()! : value;
  };
  // The zip64 values stand in this order, each only where its 32-bit field is full.
  const size = field(24);
  const packedSize = field(20);
  const headerAt = field(42);
  const entry = { name, method, crc: fields.u32(at + 16), packedSize, size, headerAt, dataAt: 0 };
  return { entry, next: at + 46 + variable };
}

function zip64Fields(fields: Fields, from: number, to: number): number[] {
  for (let at = from; at + 4 <= to; at += 4 + fields.u16(at + 2)) {
    const length = Math.min(fields.u16(at + 2), to - at - 4);
    if (fields.u16(at) === 1) return Array.from({ length: length >> 3 }, (_, i) => fields.u64(at + 4 + 8 * i));
  }
  return [];
}

function decodeName(source: ByteSource, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw damaged(source.label, 'a zip entry name is not UTF-8', error);
  }
}

/** Nothing is ever unpacked to a path, but a name that tries to escape shows that the file is hostile. */
function checkName(source: ByteSource, name: string): void {
  const unsafe = name === '' || /[\\:\0]/.test(name) || name.split('/').some((part) => part === '' || part === '..');
  if (!unsafe) return;
  throw new RelicError('RELIC_CHECKPOINT_UNSAFE', `zip entry name ${JSON.stringify(name.slice(0, 200))}`, {
    where: source.label,
    expected: 'a relative name without ".."',
    fix: 'do not use this file; get it from a source you trust',
  });
}

/** Finds where each entry's data starts and refuses entries that overlap or leave the space before the directory. */
function placeEntries(source: ByteSource, entries: Entry[], directoryAt: number): void {
  let inflated = 0;
  let free = 0;
  for (const entry of entries.sort((a, b) => a.headerAt - b.headerAt)) {
    const what = `zip entry ${JSON.stringify(entry.name)}`;
    const header = new Fields(source.read(entry.headerAt, 30));
    if (header.u32(0) !== LOCAL) throw damaged(source.label, `${what} has no header at byte ${entry.headerAt}`);
    const nameLength = header.u16(26);
    entry.dataAt = entry.headerAt + 30 + nameLength + header.u16(28);
    if (decodeName(source, source.read(entry.headerAt + 30, nameLength)) !== entry.name)
      throw damaged(source.label, `${what} has another name in its header at byte ${entry.headerAt}`);
    if (entry.headerAt < free || entry.dataAt + entry.packedSize > directoryAt)
      throw damaged(source.label, `${what} of ${entry.packedSize} bytes overlaps another part of the archive`);
    free = entry.dataAt + entry.packedSize;
    if (entry.method === DEFLATED) inflated += entry.size;
    else if (entry.size !== entry.packedSize) throw damaged(source.label, `${what} is stored but has two sizes`);
    if (inflated > LARGEST_INFLATED)
      throw damaged(source.label, `${what} unpacks to ${entry.size} bytes, more than the limit ${LARGEST_INFLATED}`);
  }
}

function readEntry(source: ByteSource, entry: Entry | undefined, name: string): Uint8Array {
  if (entry === undefined) throw damaged(source.label, `zip entry ${JSON.stringify(name)} is missing`);
  const what = `zip entry ${JSON.stringify(name)}`;
  let bytes = source.read(entry.dataAt, entry.packedSize);
  if (entry.method === DEFLATED) {
    try {
      bytes = inflateRawSync(bytes, { maxOutputLength: Math.max(1, entry.size) });
    } catch (error) {
      throw damaged(source.label, `${what} cannot be unpacked`, error);
    }
  }
  if (bytes.length !== entry.size || crc32(bytes) !== entry.crc)
    throw damaged(source.label, `${what} does not match its CRC-32 checksum`);
  return bytes;
}
