import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CsvFile, EVALUATE_COLUMNS, pythonRepr, trainingStepColumns } from '../../src/artifacts/csv.ts';
import { float } from '../../src/log.ts';
import { assertThrowsCode } from '../assert.ts';
import { goldenDir } from '../golden.ts';
import { failing } from './failing-fs.ts';

const test = suite('artifacts/csv');
let path = '';
let directory = '';
test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
  path = join(directory, 'a.csv');
});
test.after.each(() => rmSync(directory, { recursive: true }));
const text = () => readFileSync(path, 'utf8');
const RUN = join(goldenDir(), 'pipeline', 'full_pipeline', 'logs', 'v3');

// Right-hand sides are what Python prints.
const REPR: [number, string][] = [
  [0, '0.0'],
  [-0, '-0.0'],
  [1, '1.0'],
  [-1.5, '-1.5'],
  [0.1, '0.1'],
  [0.30000000000000004, '0.30000000000000004'],
  [100, '100.0'],
  [1e15, '1000000000000000.0'],
  [2 ** 53, '9007199254740992.0'],
  [1e16, '1e+16'],
  [1.25e16, '1.25e+16'],
  [1e22, '1e+22'],
  [1e100, '1e+100'],
  [0.0001, '0.0001'],
  [0.00012, '0.00012'],
  [0.00005, '5e-05'],
  [-1.5e-5, '-1.5e-05'],
  [1e-8, '1e-08'],
  [5e-324, '5e-324'],
  [1.7976931348623157e308, '1.7976931348623157e+308'],
  [Number.NaN, 'nan'],
  [Number.POSITIVE_INFINITY, 'inf'],
  [Number.NEGATIVE_INFINITY, '-inf'],
];

test('floats are written as Python writes them', () => {
  for (const [value, expected] of REPR) assert.is(pythonRepr(value), expected);
});

test('the files of the original program are reproduced byte for byte', () => {
  for (const [file, columns] of [
    ['pretrain/golden_pretrain/training_step.csv', trainingStepColumns(['auprc', 'auroc', 'f1'])],
    ['evaluate/golden_eval/evaluate.csv', EVALUATE_COLUMNS],
  ] as const) {
    const golden = readFileSync(join(RUN, file), 'utf8');
    const csv = new CsvFile(join(directory, file.replaceAll('/', '_')), columns);
    for (const line of golden.trim().split('\r\n').slice(1))
      csv.append(line.split(',').map((field) => (/^\d+$|^[a-z]/.test(field) ? field : float(Number(field)))));
    assert.is(readFileSync(csv.path, 'utf8'), golden);
  }
});

test('the header comes with the first row, and once', () => {
  const csv = new CsvFile(path, ['a', 'b']);
  assert.not.ok(existsSync(path));
  csv.append([1, float(1)]);
  csv.append(['x', 0.5]);
  new CsvFile(path, ['a', 'b']).append([2, float(Number.NaN)]);
  assert.is(text(), 'a,b\r\n1,1.0\r\nx,0.5\r\n2,nan\r\n');
});

test('an empty file gets a header', () => {
  writeFileSync(path, '');
  new CsvFile(path, ['a']).append([1]);
  assert.is(text(), 'a\r\n1\r\n');
});

test('text is quoted only where it must be', () => {
  new CsvFile(path, ['a', 'b', 'c', 'd', 'e']).append(['plain text', 'x,y', 'say "hi"', 'l\nm', '']);
  assert.is(text(), 'a,b,c,d,e\r\nplain text,"x,y","say ""hi""","l\nm",\r\n');
  assert.is(new CsvFile(path, ['a', 'b', 'c', 'd', 'e']).torn, undefined);
});

test('a file with other columns is refused and not touched', () => {
  for (const content of ['a,c\r\n1,2\r\n', 'a\r\n', 'b,a\r\n', 'not a CSV', 'a,b,c\r\n1,2', '"a\r\n1']) {
    writeFileSync(path, content);
    const error = assertThrowsCode(() => new CsvFile(path, ['a', 'b']), 'RELIC_CSV_MISMATCH');
    assert.match(error.message, `${path}: the CSV file of an earlier run has other columns: expected a,b, received `);
    assert.match(error.message, 'fix: choose another run id, or move the file away');
    assert.is(text(), content);
  }
});

test('a file saved by an editor is accepted: LF, quotes, a byte order mark', () => {
  for (const content of ['a,b\n1,2\n', '"a","b"\r\n1,2\r\n', '\ufeffa,b\r\n1,2\r\n']) {
    writeFileSync(path, content);
    const csv = new CsvFile(path, ['a', 'b']);
    csv.append([3, 4]);
    assert.is(text(), `${content}3,4\r\n`);
    assert.is(csv.torn, undefined);
  }
});

test('the torn last row of a killed run is cut off, and told', () => {
  for (const torn of ['2', '2,0.12', '2,0.125\r']) {
    writeFileSync(path, `a,b\r\n1,0.5\r\n${torn}`);
    const csv = new CsvFile(path, ['a', 'b']);
    assert.is(csv.torn, torn);
    assert.ok(text().endsWith(torn), 'opening changes nothing');
    csv.append([2, 0.125]);
    assert.is(text(), 'a,b\r\n1,0.5\r\n2,0.125\r\n');
  }
});

test('a torn header is written anew', () => {
  for (const torn of ['a', 'a,', 'a,b', 'a,b\r']) {
    writeFileSync(path, torn);
    new CsvFile(path, ['a', 'b']).append([1, 2]);
    assert.is(text(), 'a,b\r\n1,2\r\n');
  }
});

test('a row of another length is a fault of the program', () => {
  assert.throws(() => new CsvFile(path, ['a', 'b']).append([1]), RangeError);
  assert.not.ok(existsSync(path));
});

test('a full disk is reported, and the file is as it was', () => {
  new CsvFile(path, ['a', 'b']).append([1, 2]);
  for (const fs of [failing('writeSync', 'ENOSPC'), failing('fsyncSync', 'ENOSPC')])
    assertThrowsCode(
      () => new CsvFile(path, ['a', 'b'], fs).append([3, 4]),
      'RELIC_NO_SPACE',
      /a\.csv: cannot write CSV/,
    );
  assert.is(text(), 'a,b\r\n1,2\r\n');
  assertThrowsCode(() => new CsvFile('/dev/full', ['a']).append([1]), 'RELIC_NO_SPACE', /\/dev\/full/);
});

test('a place that cannot be written', () => {
  writeFileSync(path, '');
  assertThrowsCode(() => new CsvFile(join(path, 'b.csv'), ['a']), 'RELIC_IO', /ENOTDIR/);
  assertThrowsCode(() => new CsvFile(join(directory, 'no', 'b.csv'), ['a']).append([1]), 'RELIC_IO', /ENOENT/);
  assertThrowsCode(() => new CsvFile(path, ['a'], failing('openSync', 'EACCES')).append([1]), 'RELIC_NOT_WRITABLE');
});

test('rows are counted without the header, and cut back to any number', () => {
  const csv = new CsvFile(path, ['a', 'b']);
  csv.cutBackTo(0);
  assert.not.ok(existsSync(path));
  for (let i = 0; i < 4; i++) csv.append([i, i]);
  assert.is(csv.rows, 4);
  assert.is(new CsvFile(path, ['a', 'b']).rows, 4);
  csv.cutBackTo(4);
  csv.cutBackTo(2);
  assert.is(csv.rows, 2);
  csv.append([9, 9]);
  assert.is(text(), 'a,b\r\n0,0\r\n1,1\r\n9,9\r\n');
});

test('cut back to nothing, the header comes again with the next row', () => {
  new CsvFile(path, ['a', 'b']).append([1, 1]);
  const csv = new CsvFile(path, ['a', 'b']);
  csv.cutBackTo(0);
  assert.is(text(), '');
  csv.append([2, 2]);
  assert.is(text(), 'a,b\r\n2,2\r\n');
});

test('cutting back takes a torn row with it', () => {
  new CsvFile(path, ['a', 'b']).append([1, 1]);
  writeFileSync(path, `${text()}2,`);
  const csv = new CsvFile(path, ['a', 'b']);
  assert.is(csv.rows, 1);
  csv.cutBackTo(1);
  assert.is(text(), 'a,b\r\n1,1\r\n');
  csv.append([3, 3]);
  assert.is(text(), 'a,b\r\n1,1\r\n3,3\r\n');
});

test('rows that are gone cannot be cut back to, and nothing is changed', () => {
  const csv = new CsvFile(path, ['a', 'b']);
  csv.append([1, 1]);
  assertThrowsCode(() => csv.cutBackTo(2), 'RELIC_CSV_MISMATCH', /a\.csv: .*expected at least 2 rows, received 1/);
  assert.is(text(), 'a,b\r\n1,1\r\n');
  const broken = new CsvFile(path, ['a', 'b'], failing('openSync', 'EACCES'));
  assertThrowsCode(() => broken.cutBackTo(0), 'RELIC_NOT_WRITABLE', /a\.csv/);
});

test.run();
