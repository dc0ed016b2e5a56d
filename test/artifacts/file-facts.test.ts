import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describeFile } from '../../src/artifacts/file-facts.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('artifacts/file-facts');
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

test('size and hash of a file larger than one read', () => {
  const path = join(directory, 'large');
  writeFileSync(path, Buffer.alloc(3_000_000));
  // sha256sum of 3,000,000 zero bytes.
  const sha256 = '35bce4eae54ec8e6cc2868baa8d157914d6ae2858811b4cc0c078c94460fa26f';
  assert.equal(describeFile(path), { path, bytes: 3_000_000, sha256 });
});

test('a file that is not there is an error that names it', () => {
  assertThrowsCode(() => describeFile(join(directory, 'no')), 'RELIC_IO', /no: cannot read file/);
});

test.run();
