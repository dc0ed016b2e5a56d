import { mkdtempSync, readdirSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPth } from '../../../src/artifacts/checkpoint/pth.ts';
import {
  openSafetensors,
  readSafetensors,
  readSafetensorsBytes,
  writeSafetensors,
} from '../../../src/artifacts/checkpoint/safetensors.ts';
import { RelicError } from '../../../src/errors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { goldenDir, goldenVectors } from '../../golden.ts';
import { FIXTURES } from './hostile.ts';

const test = suite('checkpoint/safetensors');
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

/** A file from header text and data bytes. */
function file(header: string | object, dataLength = 0): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataLength)]);
}
const entry = (begin: number, end: number, shape = [end - begin], dtype = 'U8') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

test('golden files', () => {
  const { tensors, metadata } = readSafetensors(join(goldenDir(), 'vectors', 'checkpoint.safetensors'));
  const golden = goldenVectors('checkpoint');
  assert.equal(JSON.parse(metadata.case), golden.case);
  assert.is(tensors.size, golden.tensors.size);
  for (const [name, { shape, data }] of golden.tensors) {
    assert.equal(tensors.get(name)!.shape, shape);
    assert.equal(tensors.get(name)!.data, data, name);
  }
});

test('every dtype is written and read, with metadata', () => {
  const path = join(directory, 'a.safetensors');
  const { tensors } = readPth(join(FIXTURES, 'dtypes.pth'));
  writeSafetensors(path, tensors.values(), { format: 'pt', ключ: 'é' });
  assert.equal(readSafetensors(path), { tensors, metadata: { format: 'pt', ключ: 'é' } });
  const bytes = readFileSync(path);
  assert.is(bytes.readBigUInt64LE() % 8n, 0n);
  assert.is(bytes[8], 0x7b);
});

test('a tensor may be streamed, and must have the bytes its shape says', () => {
  const path = join(directory, 'stream.safetensors');
  const chunks = [Buffer.from([1, 2]), Buffer.from([3])];
  writeSafetensors(path, [{ name: 'rows', dtype: 'uint8', shape: [3, 1], chunks }]);
  assert.equal([...readSafetensors(path).tensors.get('rows')!.data], [1, 2, 3]);
  const before = readFileSync(path);
  const write = () => writeSafetensors(path, [{ name: 'rows', dtype: 'uint8', shape: [4], chunks }]);
  assert.throws(write, /1 bytes missing/);
  assert.equal(readFileSync(path), before);
  assert.equal(
    readdirSync(directory).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('an opened file gives ranges without reading the tensors', () => {
  const path = join(directory, 'open.safetensors');
  writeSafetensors(path, [{ name: 'x', dtype: 'float32', shape: [3], data: Float32Array.of(1, 2, 3) }], { a: 'b' });
  const opened = openSafetensors(path);
  const { begin, end, shape, dtype } = opened.header.get('x')!;
  assert.equal([end - begin, shape, dtype, opened.metadata], [12, [3], 'float32', { a: 'b' }]);
  const bytes = Buffer.alloc(4);
  readSync(opened.fd, bytes, 0, 4, opened.dataStart + begin + 8);
  assert.is(bytes.readFloatLE(), 3);
  opened.close();
  assert.throws(() => readSync(opened.fd, bytes), /EBADF/);
});

test('a missing file', () => {
  assertThrowsCode(() => openSafetensors(join(directory, 'no')), 'RELIC_CHECKPOINT_NOT_FOUND');
});

const BROKEN: [string, Buffer, RegExp][] = [
  ['too short', Buffer.from('abc'), /header of -1 bytes/],
  ['a header longer than the file', Buffer.concat([file({}), Buffer.alloc(0)]).fill(9, 0, 1), /header of 9 bytes/],
  ['a giant header', Buffer.alloc(20, 0xff), /header of \d+ bytes/],
  ['no JSON', file('{"a":'), /not JSON/],
  ['no UTF-8', file(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]).toString('latin1')).fill(0xff, 10, 11), /not JSON/],
  ['a list', file('[]'), /not a JSON object/],
  ['null', file('null'), /not a JSON object/],
  [
    'a repeated key',
    file(`{"a":${JSON.stringify(entry(0, 1))},"a":${JSON.stringify(entry(0, 1))}}`, 1),
    /"a" is there twice/,
  ],
  ['an entry of the wrong kind', file({ a: 1 }), /lacks a valid dtype/],
  ['a negative size', file({ a: entry(0, 1, [-1]) }, 1), /lacks a valid dtype, shape/],
  ['a size with a fraction', file({ a: entry(0, 1, [0.5]) }, 1), /lacks a valid dtype, shape/],
  ['three offsets', file({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1, 1] } }, 1), /data_offsets/],
  ['offsets in reverse', file({ a: entry(1, 0, [1]) }, 1), /has -1 bytes/],
  ['a shape that does not fit', file({ a: entry(0, 4, [2], 'F32') }, 4), /has 4 bytes/],
  ['a giant shape', file({ a: entry(0, 4, [2 ** 50, 2 ** 50]) }, 4), /has 4 bytes/],
  ['data outside the file', file({ a: entry(0, 100) }, 4), /take 100 bytes, the file has 4/],
  ['an overlap', file({ a: entry(0, 3), b: entry(2, 4) }, 4), /"b" starts at data byte 2 instead of 3/],
  ['a gap', file({ a: entry(0, 1), b: entry(2, 4) }, 4), /"b" starts at data byte 2 instead of 1/],
  ['bytes at the end', file({ a: entry(0, 1) }, 2), /take 1 bytes, the file has 2/],
  ['metadata that is not text', file({ __metadata__: { a: 1 } }), /mapping of strings/],
];

for (const [what, bytes, message] of BROKEN)
  test(`${what} is damage`, () =>
    void assertThrowsCode(() => readSafetensorsBytes(bytes, 'f'), 'RELIC_CHECKPOINT_INVALID', message));

test('a dtype that is not known is named', () => {
  const bytes = file({ a: entry(0, 1, [1], 'F8_E4M3') }, 1);
  assertThrowsCode(() => readSafetensorsBytes(bytes), 'RELIC_CHECKPOINT_UNSUPPORTED', /F32, .*received F8_E4M3/);
});

test('a name that objects have is a name like any other', () => {
  const bytes = file('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1);
  assert.equal([...readSafetensorsBytes(bytes).tensors.keys()], ['__proto__']);
});

test('flipped bytes throw nothing but RelicError', () => {
  const path = join(directory, 'fuzz.safetensors');
  writeSafetensors(path, [
    { name: 'a', dtype: 'float32', shape: [2, 2], data: new Float32Array(4) },
    { name: 'b', dtype: 'int64', shape: [], data: new BigInt64Array(1) },
  ]);
  const valid = readFileSync(path);
  const change = fc.tuple(fc.nat({ max: valid.length - 40 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
      const bytes = Buffer.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        readSafetensorsBytes(bytes);
      } catch (error) {
        assert.instance(error, RelicError);
      }
    }),
    { numRuns: 2000, seed: 5 },
  );
});

test('a failed open closes the file', () => {
  const path = join(directory, 'broken');
  writeFileSync(path, file('{'));
  for (let i = 0; i < 2000; i++) assertThrowsCode(() => openSafetensors(path), 'RELIC_CHECKPOINT_INVALID');
});

test.run();
