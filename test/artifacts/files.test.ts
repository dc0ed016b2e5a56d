import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertWritable, ensureDirectory, temporaryPath, writeFileAtomic } from '../../src/artifacts/files.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { assertThrowsCode } from '../assert.ts';
import { failing, shortWrites } from './failing-fs.ts';

const test = suite('artifacts/files');
let directory = '';
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after.each(() => rmSync(directory, { recursive: true }));

test('text, bytes and chunks are written, old content is replaced, nothing else is left', () => {
  const path = join(directory, 'a.json');
  writeFileAtomic(path, 'é');
  assert.is(readFileSync(path, 'utf8'), 'é');
  writeFileAtomic(path, Uint8Array.of(1, 2));
  assert.equal([...readFileSync(path)], [1, 2]);
  writeFileAtomic(path, [Buffer.from('one '), Buffer.from('two')]);
  assert.is(readFileSync(path, 'utf8'), 'one two');
  assert.equal(readdirSync(directory), ['a.json']);
});

test('the temporary file is beside the target and names the process', () => {
  assert.is(temporaryPath('logs/run.json'), join('logs', `.run.json.${process.pid}.tmp`));
});

test('short writes are continued', () => {
  const path = join(directory, 'a');
  writeFileAtomic(path, 'a longer text', shortWrites(3));
  assert.is(readFileSync(path, 'utf8'), 'a longer text');
});

const FAILURES: [Parameters<typeof failing>[0], string, ErrorCode, RegExp][] = [
  ['writeSync', 'ENOSPC', 'RELIC_NO_SPACE', /no space left.*\n.*fix: free space/],
  ['fsyncSync', 'EDQUOT', 'RELIC_NO_SPACE', /quota/],
  ['openSync', 'EACCES', 'RELIC_NOT_WRITABLE', /permission denied/],
  ['openSync', 'EROFS', 'RELIC_NOT_WRITABLE', /read-only file system/],
  ['renameSync', 'EPERM', 'RELIC_NOT_WRITABLE', /not permitted/],
  ['renameSync', 'EIO', 'RELIC_IO', /EIO/],
];

for (const [call, cause, code, message] of FAILURES) {
  test(`${cause} from ${call} is ${code}; the old file stays and no temporary file does`, () => {
    const path = join(directory, 'a');
    writeFileSync(path, 'old');
    const error = assertThrowsCode(() => writeFileAtomic(path, 'new', failing(call, cause)), code, message);
    assert.match(error.message, path);
    assert.is(readFileSync(path, 'utf8'), 'old');
    assert.equal(readdirSync(directory), ['a']);
  });
}

test('an error of the data itself passes through, and nothing is written', () => {
  const chunks = function* () {
    yield Buffer.from('half');
    throw new RangeError('no more');
  };
  assert.throws(() => writeFileAtomic(join(directory, 'a'), chunks()), /no more/);
  assert.equal(readdirSync(directory), []);
});

test('a directory that cannot be synced does not matter', () => {
  const path = join(directory, 'a');
  writeFileAtomic(path, 'x', failing('fsyncSync', 'EINVAL', 1));
  assert.is(readFileSync(path, 'utf8'), 'x');
});

test('directories are made with their parents', () => {
  const path = join(directory, 'a', 'b');
  ensureDirectory(path);
  ensureDirectory(path);
  assert.ok(existsSync(path));
});

test('a path below a regular file cannot be a directory', () => {
  const file = join(directory, 'file');
  writeFileSync(file, '');
  assertThrowsCode(() => ensureDirectory(join(file, 'a')), 'RELIC_IO', /file\/a: cannot create directory/);
  assertThrowsCode(() => writeFileAtomic(join(file, 'a'), ''), 'RELIC_IO', /cannot write file/);
  assertThrowsCode(() => ensureDirectory('x', failing('mkdirSync', 'EACCES')), 'RELIC_NOT_WRITABLE');
});

test('a directory that takes files passes and stays empty', () => {
  assertWritable(directory);
  assert.equal(readdirSync(directory), []);
});

test('a directory that takes none is told apart from a full disk', () => {
  const check = (fs: Parameters<typeof assertWritable>[1]) => assertWritable(directory, fs);
  assertThrowsCode(() => check(failing('openSync', 'EROFS')), 'RELIC_NOT_WRITABLE', new RegExp(`^${directory}: `));
  assertThrowsCode(() => check(failing('writeSync', 'ENOSPC')), 'RELIC_NO_SPACE');
  assertThrowsCode(() => assertWritable(join(directory, 'no')), 'RELIC_IO', /ENOENT/);
  assert.equal(readdirSync(directory), []);
});

test.run();
