/** Pair files: tab-separated `protein_a  protein_b  label`, one pair a line (contract 1.5). */
import { readFileSync } from 'node:fs';
import { type Problem, RelicError, shown } from '../errors.ts';
import { type PairRepeats, pairRepeats } from './pair-repeats.ts';

/** How many lines of one kind are named in messages and reports; all are counted. */
export const LISTED = 10;

/** A pair file in columns: record r is `proteins[a[r]]`, `proteins[b[r]]`, `labels[r]`, read from line `lines[r]`. */
export interface PairFile extends PairRepeats {
  readonly path: string;
  /** Unique names, in order of first sight. */
  readonly proteins: readonly string[];
  /** Indices into `proteins`. */
  readonly a: Int32Array;
  readonly b: Int32Array;
  /** 0 or 1. */
  readonly labels: Uint8Array;
  /** One-based source lines. */
  readonly lines: Int32Array;
  /** Lines that are not blank and not three fields: all counted, the first {@link LISTED} numbered. */
  readonly skipped: { readonly count: number; readonly first: readonly number[] };
}

/**
 * Reads a pair file. Each line is stripped and split on tabs; other than three fields is skipped and counted.
 * A byte-order mark, any line end and blank lines are read over.
 *
 * @throws RELIC_PAIRS_NOT_FOUND when it cannot be read, RELIC_PAIRS_EMPTY when no line is a pair, RELIC_PAIRS_INVALID
 *   listing the lines whose label is not 0 or 1 (in Python's integer notation) or whose protein has no name.
 */
export function readPairs(path: string): PairFile {
  return parsePairs(readText(path), path);
}

/** As {@link readPairs}, from the text of a file; `path` is what messages call it. */
export function parsePairs(text: string, path: string): PairFile {
  const records = new RecordColumns();
  const skippedLines: number[] = [];
  let skippedCount = 0;
  const problems: Problem[] = [];
  let invalid = 0;
  const lines = text.split(/\r\n|\r|\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i].trim();
    if (line === '') continue;
    const fields = line.split('\t');
    if (fields.length !== 3) {
      skippedCount++;
      if (skippedLines.length < LISTED) skippedLines.push(i + 1);
      continue;
    }
    const label = labelOf(fields[2]);
    if (label === undefined || fields[0] === '' || fields[1] === '') {
      invalid++;
      const message = label === undefined ? `label ${shown(fields[2])} is not 0 or 1` : 'a protein has no name';
      if (problems.length < LISTED) problems.push({ where: `${path}:${i + 1}`, message });
      continue;
    }
    records.add(fields[0], fields[1], label, i + 1);
  }
  if (invalid > 0) {
    throw new RelicError('RELIC_PAIRS_INVALID', `${invalid} invalid line(s) in ${path}`, {
      expected: 'protein<TAB>protein<TAB>label with label 0 or 1',
      problems,
      fix: 'write each label as 0 (no interaction) or 1 (interaction), and take out a header line',
    });
  }
  if (records.labels.length === 0) {
    throw new RelicError('RELIC_PAIRS_EMPTY', `No valid PPI records found in ${path}`, {
      expected: 'lines of three tab-separated fields: protein, protein, label',
      received: `${skippedCount} line(s) of another shape`,
      fix: 'check that the fields are separated by tabs',
    });
  }
  return records.toPairFile(path, { count: skippedCount, first: skippedLines });
}

/** The records at these positions, as a pair file of its own: proteins and repeats are those of the records kept. */
export function selectPairs(file: PairFile, records: ArrayLike<number>): PairFile {
  const kept = new RecordColumns();
  for (let i = 0; i < records.length; i++) {
    const r = records[i];
    kept.add(file.proteins[file.a[r]], file.proteins[file.b[r]], file.labels[r], file.lines[r]);
  }
  return kept.toPairFile(file.path, file.skipped);
}

function readText(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    return text.startsWith('\ufeff') ? text.slice(1) : text;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const received = code === 'ENOENT' ? {} : { received: message };
    throw new RelicError('RELIC_PAIRS_NOT_FOUND', `Dataset path not found: ${path}`, {
      ...received,
      fix: 'correct data_config.dataloader.{train,valid,test}_dataset; a relative path starts at the working directory',
      cause: error,
    });
  }
}

/** A label as Python's `int()` reads it, or undefined where it fails or the value is neither 0 nor 1. */
function labelOf(field: string): number | undefined {
  if (field === '0') return 0;
  if (field === '1') return 1;
  if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(field)) return undefined;
  const value = Number(field.replaceAll('_', ''));
  return value === 0 ? 0 : value === 1 ? 1 : undefined;
}

class RecordColumns {
  readonly labels: number[] = [];
  private readonly a: number[] = [];
  private readonly b: number[] = [];
  private readonly lines: number[] = [];
  private readonly indexOf = new Map<string, number>();

  add(proteinA: string, proteinB: string, label: number, line: number): void {
    this.a.push(this.intern(proteinA));
    this.b.push(this.intern(proteinB));
    this.labels.push(label);
    this.lines.push(line);
  }

  toPairFile(path: string, skipped: PairFile['skipped']): PairFile {
    const columns = {
      proteins: [...this.indexOf.keys()],
      a: Int32Array.from(this.a),
      b: Int32Array.from(this.b),
      labels: Uint8Array.from(this.labels),
      lines: Int32Array.from(this.lines),
    };
    return { path, ...columns, skipped, ...pairRepeats(columns, LISTED) };
  }

  private intern(protein: string): number {
    const known = this.indexOf.get(protein);
    if (known !== undefined) return known;
    this.indexOf.set(protein, this.indexOf.size);
    return this.indexOf.size - 1;
  }
}
