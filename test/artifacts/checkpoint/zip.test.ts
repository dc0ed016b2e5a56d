import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesSource } from '../../../src/artifacts/checkpoint/source.ts';
import { openZip } from '../../../src/artifacts/checkpoint/zip.ts';
import { zipChunks } from '../../../src/artifacts/checkpoint/zip-writer.ts';
import { assertThrowsCode } from '../../assert.ts';
import { goldenDir } from '../../golden.ts';

const test = suite('checkpoint/zip');
const open = (bytes: Uint8Array) => openZip(bytesSource(bytes, 'x.pth'));
const zip = (...entries: [string, string][]) =>
  Buffer.concat([...zipChunks(entries.map(([name, text]) => ({ name, data: Buffer.from(text) })))]);
const LOCAL = Buffer.from('PK\x03\x04', 'latin1');
const CENTRAL = Buffer.from('PK\x01\x02', 'latin1');
const END = Buffer.from('PK\x05\x06', 'latin1');

/** A copy with a change made at an offset from the last occurrence of a record's signature. */
function patched(bytes: Buffer, signature: Buffer, change: (copy: Buffer, at: number) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy, copy.lastIndexOf(signature));
  return copy;
}

/** One deflated entry that claims to unpack to `size` bytes. */
function deflated(text: string, size = text.length): Buffer {
  const packed = deflateRawSync(Buffer.from(text));
  const raw = Buffer.concat([...zipChunks([{ name: 'a', data: packed }])]);
  return patched(raw, CENTRAL, (copy, at) => {
    copy.writeUInt16LE(8, at + 10);
    copy.writeUInt32LE(crc32(text), at + 16);
    copy.writeUInt32LE(size, at + 24);
  });
}

test('entries of an archive by PyTorch, whose checksums hold', () => {
  const archive = open(readFileSync(join(goldenDir(), 'vectors', 'best_model.pth')));
  assert.is(archive.names.length, 63);
  assert.is(Buffer.from(archive.read('best_model/byteorder')).toString(), 'little');
  for (const name of archive.names) archive.read(name);
});

test('what was written is read, also with a comment at the end', () => {
  const archive = open(zip(['a/b', 'one'], ['c', '']));
  assert.equal(archive.names, ['a/b', 'c']);
  assert.is(Buffer.from(archive.read('a/b')).toString(), 'one');
  assert.is(archive.read('c').length, 0);
  const commented = patched(Buffer.concat([zip(['a', 'x']), Buffer.from('hi')]), END, (copy, at) =>
    copy.writeUInt16LE(2, at + 20),
  );
  assert.equal(open(commented).names, ['a']);
});

test('deflated entries are unpacked', () => {
  assert.is(Buffer.from(open(deflated('hello '.repeat(50))).read('a')).toString(), 'hello '.repeat(50));
});

test('zip64 sizes and offsets are used where the 32-bit fields are full', () => {
  const data = Buffer.from('wide');
  const head = Buffer.alloc(31);
  LOCAL.copy(head);
  head.writeUInt16LE(1, 26);
  head.write('a', 30);
  const central = Buffer.alloc(47 + 28);
  CENTRAL.copy(central);
  central.writeUInt32LE(crc32(data), 16);
  for (const at of [20, 24, 42]) central.writeUInt32LE(0xffffffff, at);
  central.writeUInt16LE(1, 28);
  central.writeUInt16LE(28, 30);
  central.write('a', 46);
  central.writeUInt16LE(1, 47);
  central.writeUInt16LE(24, 49);
  central.writeBigUInt64LE(4n, 51);
  central.writeBigUInt64LE(4n, 59);
  const end64 = Buffer.alloc(56);
  end64.write('PK\x06\x06', 'latin1');
  for (const at of [24, 32]) end64.writeBigUInt64LE(1n, at);
  end64.writeBigUInt64LE(BigInt(central.length), 40);
  end64.writeBigUInt64LE(35n, 48);
  const locator = Buffer.alloc(20);
  locator.write('PK\x06\x07', 'latin1');
  locator.writeBigUInt64LE(BigInt(35 + central.length), 8);
  const end = Buffer.alloc(22, 0xff);
  END.copy(end);
  for (const at of [4, 6, 20]) end.writeUInt16LE(0, at);
  const bytes = Buffer.concat([head, data, central, end64, locator, end]);
  assert.is(Buffer.from(open(bytes).read('a')).toString(), 'wide');
  const lost = Buffer.from(bytes);
  lost.write('XX', lost.indexOf(locator));
  assertThrowsCode(() => open(lost), 'RELIC_CHECKPOINT_INVALID', /zip64 locator/);
});

test('every truncation is refused', () => {
  const bytes = zip(['a/data.pkl', 'some text'], ['b', 'more']);
  for (let length = 0; length < bytes.length; length++)
    assertThrowsCode(() => open(bytes.subarray(0, length)), 'RELIC_CHECKPOINT_INVALID', /end record is missing/);
});

test('a wrong checksum is refused', () => {
  const bytes = zip(['a', 'text']);
  bytes[bytes.indexOf('text')] ^= 1;
  assertThrowsCode(() => open(bytes).read('a'), 'RELIC_CHECKPOINT_INVALID', /"a" does not match its CRC-32/);
});

test('giant declared sizes are refused before anything is allocated', () => {
  const bytes = zip(['a', 'text']);
  const giant = patched(bytes, CENTRAL, (copy, at) => {
    copy.writeUInt32LE(0xfffffff0, at + 20);
    copy.writeUInt32LE(0xfffffff0, at + 24);
  });
  assertThrowsCode(() => open(giant), 'RELIC_CHECKPOINT_INVALID', /overlaps/);
  const entries = patched(bytes, END, (copy, at) => copy.writeUInt16LE(0xfffe, at + 10));
  assertThrowsCode(() => open(entries), 'RELIC_CHECKPOINT_INVALID', /65534 entries/);
});

test('zip bombs: a deflated entry gives no more than it declares, and may not declare too much', () => {
  const bomb = deflated('0'.repeat(100_000), 10);
  assertThrowsCode(() => open(bomb).read('a'), 'RELIC_CHECKPOINT_INVALID', /cannot be unpacked/);
  assertThrowsCode(() => open(deflated('0', 0xf0000000)), 'RELIC_CHECKPOINT_INVALID', /more than the limit/);
});

test('names that leave the archive are refused', () => {
  for (const name of ['../a', '/etc/passwd', 'a/../../b', 'a\\b', 'C:x', 'a\0b', 'a//b'])
    assertThrowsCode(() => open(zip([name, 'x'])), 'RELIC_CHECKPOINT_UNSAFE', /without "\.\."/);
});

test('an entry inside another one is refused', () => {
  const inner = zip(['b', 'text']);
  const bytes = Buffer.concat([...zipChunks([{ name: 'a', data: inner.subarray(0, inner.indexOf(CENTRAL)) }])]);
  const central = Buffer.from(inner.subarray(inner.indexOf(CENTRAL), inner.indexOf(END)));
  central.writeUInt32LE(64, 42);
  const end = Buffer.from(bytes.subarray(bytes.indexOf(END)));
  end.writeUInt16LE(2, 10);
  end.writeUInt32LE(end.readUInt32LE(12) + central.length, 12);
  const nested = Buffer.concat([bytes.subarray(0, bytes.indexOf(END)), central, end]);
  assertThrowsCode(() => open(nested), 'RELIC_CHECKPOINT_INVALID', /"b" of 4 bytes overlaps another part/);
});

test('repeated, renamed and out-of-range entries are refused', () => {
  const bytes = zip(['a', 'text'], ['b', 'text']);
  const twice = patched(bytes, CENTRAL, (copy, at) => copy.write('a', at + 46));
  assertThrowsCode(() => open(twice), 'RELIC_CHECKPOINT_INVALID', /"a" is there twice/);
  const renamed = patched(bytes, CENTRAL, (copy, at) => copy.write('z', at + 46));
  assertThrowsCode(() => open(renamed), 'RELIC_CHECKPOINT_INVALID', /"z" has another name/);
  const outside = patched(bytes, CENTRAL, (copy, at) => copy.writeUInt32LE(0x7fffffff, at + 42));
  assertThrowsCode(() => open(outside), 'RELIC_CHECKPOINT_INVALID', /outside the file/);
  const longer = patched(bytes, CENTRAL, (copy) => {
    const first = copy.indexOf(CENTRAL);
    copy.writeUInt32LE(70, first + 20);
    copy.writeUInt32LE(70, first + 24);
  });
  assertThrowsCode(() => open(longer), 'RELIC_CHECKPOINT_INVALID', /overlaps another part/);
});

test('encryption and unknown methods are refused by name', () => {
  const encrypted = patched(zip(['a', 'x']), CENTRAL, (copy, at) => copy.writeUInt16LE(1, at + 8));
  assertThrowsCode(() => open(encrypted), 'RELIC_CHECKPOINT_UNSUPPORTED', /not encrypted/);
  const method = patched(zip(['a', 'x']), CENTRAL, (copy, at) => copy.writeUInt16LE(14, at + 10));
  assertThrowsCode(() => open(method), 'RELIC_CHECKPOINT_UNSUPPORTED', /method 14/);
});

test('an entry that is not there', () => {
  assertThrowsCode(() => open(zip(['a', 'x'])).read('b'), 'RELIC_CHECKPOINT_INVALID', /"b" is missing/);
});

test.run();
