import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPthBytes } from '../../../src/artifacts/checkpoint/pth.ts';
import { RelicError } from '../../../src/errors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { FIXTURES, pickle } from './hostile.ts';

const test = suite('checkpoint/legacy');
const valid = readFileSync(join(FIXTURES, 'legacy.pth'));
/** The magic number and the protocol number, each a pickle. */
const START = pickle('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.');

test('a file from before PyTorch 1.6 is read', () => {
  const { tensors } = readPthBytes(valid);
  assert.equal([...tensors.keys()], ['a', 'b']);
  assert.equal(tensors.get('a')!.shape, [3, 4]);
  assert.equal(
    [...tensors.get('a')!.data],
    Array.from({ length: 12 }, (_, i) => i / 4),
  );
  assert.equal(tensors.get('b'), { name: 'b', shape: [], dtype: 'int64', data: BigInt64Array.of(7n) });
});

test('every truncation is damage', () => {
  for (let length = 1; length < valid.length; length++)
    assertThrowsCode(() => readPthBytes(valid.subarray(0, length)), 'RELIC_CHECKPOINT_INVALID');
});

test('bytes after the last storage are damage', () => {
  const longer = Buffer.concat([valid, Buffer.alloc(3)]);
  assertThrowsCode(() => readPthBytes(longer), 'RELIC_CHECKPOINT_INVALID', /3 bytes follow/);
});

test('a storage of another size than its tensor says is damage', () => {
  const bytes = Buffer.from(valid);
  bytes.writeBigInt64LE(11n, bytes.length - 12 * 4 - 8 - 16);
  assertThrowsCode(() => readPthBytes(bytes), 'RELIC_CHECKPOINT_INVALID', /elements instead of/);
});

test('a pickle of something else, also a hostile one', () => {
  assertThrowsCode(() => readPthBytes(pickle('\x80\x02}.')), 'RELIC_CHECKPOINT_UNSUPPORTED', /torch\.save did not/);
  const evil = pickle('\x80\x02cos\nsystem\n.');
  assertThrowsCode(() => readPthBytes(evil), 'RELIC_CHECKPOINT_UNSAFE', /"os\.system"/);
  assertThrowsCode(() => readPthBytes(Buffer.concat([START, evil])), 'RELIC_CHECKPOINT_UNSAFE', /"os\.system"/);
});

test('big-endian files, and lists of storages that do not fit', () => {
  const big = pickle(START, '}X\x0d\0\0\0little_endian\x89s.');
  assertThrowsCode(() => readPthBytes(big), 'RELIC_CHECKPOINT_UNSUPPORTED', /big-endian/);
  assertThrowsCode(() => readPthBytes(pickle(START, '}.}.N.')), 'RELIC_CHECKPOINT_INVALID', /not a list/);
  assertThrowsCode(() => readPthBytes(pickle(START, '}.}.]K\x01a.')), 'RELIC_CHECKPOINT_INVALID', /no tensor uses/);
});

test('flipped bytes throw nothing but RelicError', () => {
  const change = fc.tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        readPthBytes(bytes);
      } catch (error) {
        assert.instance(error, RelicError);
      }
    }),
    { numRuns: 2000, seed: 3 },
  );
});

test.run();
