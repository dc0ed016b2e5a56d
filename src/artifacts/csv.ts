/**
 * RELIC's CSV files (contract 1.4): CRLF, UTF-8, floats as Python's repr, a header only at the start of the file.
 * Plots and searches read these files, so rows are never put below a header they do not belong to.
 */
import * as nodeFs from 'node:fs';
import { parse } from 'csv-parse/sync';
import { RelicError } from '../errors.ts';
import { Float } from '../log.ts';
import { type FileSystem, ioError, writeFully } from './files.ts';

/** A plain number is an integer and printed as one; `float(x)` of log.ts, or a number with a fraction, as a float. */
export type CsvValue = string | number | Float;

/** Columns of `evaluate.csv`. */
export const EVALUATE_COLUMNS: readonly string[] = [
  'split',
  'auroc',
  'auprc',
  'accuracy',
  'sensitivity',
  'specificity',
  'precision',
  'recall',
  'f1',
  'mcc',
];

/** Columns of `training_step.csv` for these validation metrics, in their order. */
export function trainingStepColumns(metrics: readonly string[]): string[] {
  const validation = metrics.map((metric) => `Val ${metric}`);
  return ['Epoch', 'Epoch Time', 'Train Loss', 'Val Loss', ...validation, 'Learning Rate'];
}

type CsvFileSystem = FileSystem & Pick<typeof nodeFs, 'fstatSync' | 'ftruncateSync'>;

/** A table that grows by whole rows. */
export interface CsvTable {
  readonly path: string;
  /** Whole rows, the header not counted. */
  readonly rows: number;
  /** The unfinished last row of a killed run; the first row written replaces it. Undefined if there was none. */
  readonly torn: string | undefined;
  cutBackTo(rows: number): void;
  append(row: readonly CsvValue[]): void;
}

/** The table of a rank that writes none. */
export function nullCsv(path: string): CsvTable {
  return { path, rows: 0, torn: undefined, cutBackTo() {}, append() {} };
}

/** A table in a file. */
export class CsvFile implements CsvTable {
  readonly path: string;
  readonly columns: readonly string[];
  readonly torn: string | undefined;
  readonly #fs: CsvFileSystem;
  /** Where the torn row starts, until it is cut off. */
  #cutAt: number | undefined;
  #rows: number;

  /**
   * Checks the header of an existing file and changes nothing yet: the file and its header are made with the first row.
   * @throws RelicError RELIC_CSV_MISMATCH when the file has other columns; as {@link append} otherwise.
   */
  constructor(path: string, columns: readonly string[], fs: CsvFileSystem = nodeFs) {
    this.path = path;
    this.columns = columns;
    this.#fs = fs;
    const bytes = readExisting(path);
    const end = bytes.lastIndexOf('\n') + 1;
    const rest = bytes.toString('utf8', end);
    const unfinishedHeader = end === 0 && csvRow(columns).startsWith(rest);
    if (!unfinishedHeader) checkHeader(path, bytes, columns);
    this.torn = rest === '' ? undefined : rest;
    this.#cutAt = rest === '' ? undefined : end;
    this.#rows = Math.max(0, lineEnds(bytes).length - 1);
  }

  get rows(): number {
    return this.#rows;
  }

  /**
   * Takes away every row after the first `rows`; with 0 rows the header goes too, and comes back with the next row.
   * @throws RelicError RELIC_CSV_MISMATCH when the file has fewer rows; as {@link append} otherwise.
   */
  cutBackTo(rows: number): void {
    const bytes = readExisting(this.path);
    if (rows === 0 && bytes.length === 0) return;
    const end = rows === 0 ? 0 : lineEnds(bytes)[rows];
    if (end === undefined) throw tooShort(this.path, rows, this.#rows);
    try {
      const fd = this.#fs.openSync(this.path, 'r+');
      try {
        this.#fs.ftruncateSync(fd, end);
        this.#fs.fsyncSync(fd);
      } finally {
        this.#fs.closeSync(fd);
      }
    } catch (error) {
      throw ioError(error, this.path, 'write CSV file');
    }
    this.#cutAt = undefined;
    this.#rows = rows;
  }

  /**
   * Adds a row, on the disk when this returns; on failure the file is as it was.
   * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO; RangeError for a wrong number of values.
   */
  append(row: readonly CsvValue[]): void {
    const { path, columns } = this;
    if (row.length !== columns.length) throw new RangeError(`${path}: ${row.length} values, ${columns.length} columns`);
    try {
      const fd = this.#fs.openSync(path, 'a');
      try {
        this.#write(fd, csvRow(row));
      } finally {
        this.#fs.closeSync(fd);
      }
    } catch (error) {
      throw ioError(error, path, 'write CSV file');
    }
  }

  #write(fd: number, line: string): void {
    if (this.#cutAt !== undefined) this.#fs.ftruncateSync(fd, this.#cutAt);
    this.#cutAt = undefined;
    const { size } = this.#fs.fstatSync(fd);
    try {
      writeFully(fd, Buffer.from(size === 0 ? csvRow(this.columns) + line : line), this.#fs);
      this.#fs.fsyncSync(fd);
      this.#rows++;
    } catch (error) {
      this.#cutBack(fd, size);
      throw error;
    }
  }

  #cutBack(fd: number, size: number): void {
    try {
      this.#fs.ftruncateSync(fd, size);
    } catch {
      // The next opening finds the torn row.
    }
  }
}

function readExisting(path: string): Buffer {
  try {
    // A device such as /dev/full reads without end; only a regular file has rows.
    return nodeFs.statSync(path).isFile() ? nodeFs.readFileSync(path) : Buffer.alloc(0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw ioError(error, path, 'read CSV file');
  }
}

/** The byte after each line, the header's first. No field we write has a line break in it. */
function lineEnds(bytes: Buffer): number[] {
  const ends: number[] = [];
  for (let at = bytes.indexOf('\n'); at >= 0; at = bytes.indexOf('\n', at + 1)) ends.push(at + 1);
  return ends;
}

function tooShort(path: string, expected: number, received: number): RelicError {
  return new RelicError('RELIC_CSV_MISMATCH', 'the CSV file lost rows of the run that is to be continued', {
    where: path,
    expected: `at least ${expected} rows`,
    received: String(received),
    fix: 'bring the rows back, or start the run anew without --resume',
  });
}

function checkHeader(path: string, bytes: Buffer, columns: readonly string[]): void {
  const found = headerOf(bytes);
  if (found.join('\n') === columns.join('\n')) return;
  throw new RelicError('RELIC_CSV_MISMATCH', 'the CSV file of an earlier run has other columns', {
    where: path,
    expected: columns.join(','),
    received: found.join(',').slice(0, 500),
    fix: 'choose another run id, or move the file away',
  });
}

function headerOf(bytes: Buffer): string[] {
  try {
    const records: string[][] = parse(bytes, { to: 1, bom: true, relax_column_count: true });
    return records[0] ?? [];
  } catch {
    return [bytes.toString('utf8', 0, 500).split('\n')[0]];
  }
}

/** One line, quoted as Python's csv module does by default: only where the text needs it. */
function csvRow(values: readonly CsvValue[]): string {
  return `${values.map(csvField).join(',')}\r\n`;
}

function csvField(value: CsvValue): string {
  if (value instanceof Float) return pythonRepr(value.value);
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : pythonRepr(value);
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** Python's repr of a float: the shortest digits that read back as `x`; 0.1, 1.0, 5e-05, 1e+16, nan, inf, -inf. */
export function pythonRepr(x: number): string {
  if (Number.isNaN(x)) return 'nan';
  const sign = x < 0 || Object.is(x, -0) ? '-' : '';
  if (!Number.isFinite(x)) return `${sign}inf`;
  const [mantissa, power] = Math.abs(x).toExponential().split('e');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16)
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
  const digits = mantissa.replace('.', '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}
