import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesSource, fileSource } from '../../../src/artifacts/checkpoint/source.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('checkpoint/source');
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

test('a file is read by range, and not past its end', () => {
  const path = join(directory, 'a');
  writeFileSync(path, Buffer.from([1, 2, 3, 4]));
  const source = fileSource(path);
  assert.is(source.size, 4);
  assert.equal([...source.read(1, 2)], [2, 3]);
  assertThrowsCode(() => source.read(3, 2), 'RELIC_CHECKPOINT_INVALID', /bytes 3 to 5 .* of 4 bytes/);
  source.close();
});

test('memory is read as views, and ranges that are not counts are refused', () => {
  const bytes = new Uint8Array([1, 2, 3]);
  const source = bytesSource(bytes, 'x');
  assert.is(source.read(1, 1).buffer, bytes.buffer);
  for (const [start, length] of [
    [-1, 1],
    [0, -1],
    [0, 4],
    [2 ** 60, 1],
    [0, Number.NaN],
  ])
    assertThrowsCode(() => source.read(start, length), 'RELIC_CHECKPOINT_INVALID');
});

test('a missing file, a directory', () => {
  assertThrowsCode(() => fileSource(join(directory, 'no')), 'RELIC_CHECKPOINT_NOT_FOUND', /no: cannot open/);
  assertThrowsCode(() => fileSource(directory), 'RELIC_IO', /not a regular file/);
});

test('a file that becomes shorter while it is read is reported', () => {
  const path = join(directory, 'b');
  writeFileSync(path, Buffer.alloc(10));
  const source = fileSource(path);
  writeFileSync(path, Buffer.alloc(2));
  assertThrowsCode(() => source.read(0, 10), 'RELIC_CHECKPOINT_INVALID', /shorter/);
  source.close();
});

test.run();
