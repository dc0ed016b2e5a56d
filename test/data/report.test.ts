import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readPairs } from '../../src/data/pairs.ts';
import { describeSplits } from '../../src/data/report.ts';
import { reportEvents } from '../../src/data/report-events.ts';

const test = suite('report');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

function splits(train: string, valid: string, test: string) {
  const read = (name: string, text: string) => {
    const path = join(dir, `${name}.txt`);
    writeFileSync(path, text.replaceAll(' ', '\t'));
    return readPairs(path);
  };
  return { train: read('train', train), valid: read('valid', valid), test: read('test', test) };
}
const healthy = splits('A B 1\nA C 0\nC C 0\nB A 1\n', 'B A 0\nD A 1\nA D 1\n', 'E F 1\nE E 0\nD A 0\n');

test('counts balance, proteins and repeats of each split', () => {
  const [train, valid] = describeSplits(healthy).splits;
  deepStrictEqual(
    { ...train, path: '' },
    {
      split: 'train',
      path: '',
      pairs: 4,
      positives: 2,
      negatives: 2,
      proteins: 3,
      selfPairs: 1,
      duplicates: 1,
      conflicts: 0,
      skippedLines: 0,
    },
  );
  strictEqual(valid.proteins, 3);
});

test('counts proteins and distinct unordered pairs that splits share', () => {
  deepStrictEqual(describeSplits(healthy).overlaps, [
    { split: 'valid', with: 'train', sharedProteins: 2, proteins: 3, sharedPairs: 1 },
    { split: 'test', with: 'train', sharedProteins: 1, proteins: 4, sharedPairs: 0 },
    { split: 'test', with: 'valid', sharedProteins: 2, proteins: 4, sharedPairs: 1 },
  ]);
});

test('healthy splits give no warning', () => {
  deepStrictEqual(describeSplits(healthy).warnings, []);
});

test('a split with one class warns and says why its AUROC is undefined', () => {
  const { warnings } = describeSplits(splits('A B 0\n', 'A B 1\nA C 1\n', 'A B 1\nA C 0\n'));
  strictEqual(warnings.length, 2);
  match(warnings[0], /^Every pair of the train split is negative .*can learn nothing/);
  match(warnings[1], /^Every pair of the valid split is positive .*AUROC is undefined because/);
});

test('skipped lines and pairs with both labels are warnings that name lines', () => {
  const { warnings } = describeSplits(splits('A B 1\nheader\nB A 0\n', 'A B 1\nA C 0\n', 'A B 1\nA C 0\n'));
  strictEqual(warnings.length, 2);
  match(warnings[0], /1 line\(s\) of .*train\.txt .* skipped: line 2$/);
  match(warnings[1], /1 pair\(s\) of .*train\.txt .* A and B, lines 1 and 3$/);
});

test('lengths are of each protein once, over all splits, those known', () => {
  const residues: Record<string, number> = { A: 50, B: 120, C: 300, D: 310, E: 99 };
  const { lengths } = describeSplits(healthy, { lengthOf: (protein) => residues[protein], maxLength: 120 });
  deepStrictEqual(lengths, {
    proteins: 5,
    min: 50,
    mean: 175.8,
    max: 310,
    binWidth: 100,
    counts: [2, 1, 0, 2],
    truncated: 2,
    maxLength: 120,
  });
});

test('lengths of nothing are zeros', () => {
  const { lengths } = describeSplits(healthy, { lengthOf: () => undefined, maxLength: 8 });
  deepStrictEqual([lengths?.proteins, lengths?.min, lengths?.mean, lengths?.max], [0, 0, 0, 0]);
});

test('events: splits, overlaps, lengths, then warnings at their level', () => {
  const report = describeSplits(splits('A B 1\nA C 0\n', 'A B 1\n', 'A C 0\nA B 1\n'), {
    lengthOf: () => 150,
    maxLength: 100,
  });
  const events = reportEvents(report);
  deepStrictEqual(
    events.map(({ name, level }) => `${level} ${name}`),
    [
      ...Array.from({ length: 3 }, () => 'info split_summary'),
      ...Array.from({ length: 3 }, () => 'info split_overlap'),
      'info protein_lengths',
      'warning data_warning',
    ],
  );
  deepStrictEqual(events[0].fields, {
    split: 'train',
    pairs: 2,
    positives: 1,
    negatives: 1,
    proteins: 3,
    self_pairs: 0,
    duplicate_pairs: 0,
    conflicting_pairs: 0,
    skipped_lines: 0,
  });
  deepStrictEqual([events[6].fields.histogram, events[6].fields.truncated], ['0,3', 3]);
  deepStrictEqual(events[3].fields, {
    split: 'valid',
    with: 'train',
    shared_proteins: 2,
    proteins: 2,
    shared_pairs: 1,
  });
});

test.run();
