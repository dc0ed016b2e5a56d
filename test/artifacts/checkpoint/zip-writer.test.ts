import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { zipChunks } from '../../../src/artifacts/checkpoint/zip-writer.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('checkpoint/zip-writer');
const zip = (...names: string[]) =>
  Buffer.concat([...zipChunks(names.map((name) => ({ name, data: Buffer.from(`data of ${name}`) })))]);

test('data starts at multiples of 64 bytes, whatever the names are', () => {
  const names = ['a', 'a/data/10', 'ä/long name of an entry '.repeat(4), 'x'.repeat(33), 'x'.repeat(34)];
  const bytes = zip(...names);
  for (const name of names) assert.is(bytes.indexOf(`data of ${name}`) % 64, 0, name);
});

test('the same inputs give the same bytes', () => {
  assert.equal(zip('a', 'b'), zip('a', 'b'));
});

test('local headers agree with the directory, so that stream readers can read too', () => {
  const bytes = zip('abc');
  const central = bytes.indexOf('PK\x01\x02', 0, 'latin1');
  assert.equal(bytes.subarray(4, 28), bytes.subarray(central + 6, central + 30));
  assert.is(bytes.readUInt32LE(central + 42), 0);
  assert.is(bytes.readUInt32LE(bytes.length - 6), central);
});

test('more entries than the format counts are refused', () => {
  const data = new Uint8Array(0);
  const many = Array.from({ length: 65_536 }, (_, i) => ({ name: String(i), data }));
  assertThrowsCode(() => [...zipChunks(many)], 'RELIC_CHECKPOINT_UNSUPPORTED', /safetensors/);
});

test.run();
