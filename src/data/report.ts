/** What the three splits hold, said once at the start of a run: balance, repeats, leakage and lengths. */
import { type LengthSummary, summariseLengths } from './length-histogram.ts';
import { unorderedPairKey } from './pair-repeats.ts';
import type { PairFile } from './pairs.ts';
import { type PairFiles, SPLITS, type SplitName } from './splits.ts';

export interface SplitSummary {
  readonly split: SplitName;
  readonly path: string;
  readonly pairs: number;
  readonly positives: number;
  readonly negatives: number;
  readonly proteins: number;
  readonly selfPairs: number;
  readonly duplicates: number;
  readonly conflicts: number;
  readonly skippedLines: number;
}

/** What a later split has in common with an earlier one. */
export interface SplitOverlap {
  readonly split: SplitName;
  readonly with: SplitName;
  /** Proteins of `split` that `with` has too, out of `proteins`. */
  readonly sharedProteins: number;
  readonly proteins: number;
  /** Distinct unordered pairs of `split` that `with` has too, whatever the label. */
  readonly sharedPairs: number;
}

export interface SplitReport {
  readonly splits: readonly SplitSummary[];
  /** valid and test against train, then test against valid. */
  readonly overlaps: readonly SplitOverlap[];
  /** Of the proteins of all splits; absent when lengths are not known. */
  readonly lengths?: LengthSummary;
  readonly warnings: readonly string[];
}

/** How long proteins are, where that is known. */
export interface KnownLengths {
  /** Residues of a protein before truncation; undefined for one without an embedding, which is left out. */
  lengthOf(protein: string): number | undefined;
  /** `data_config.max_sequence_length`. */
  readonly maxLength: number;
}

/** Describes the splits as they are about to be used. Plain data: equal files give equal reports. */
export function describeSplits(files: PairFiles, lengths?: KnownLengths): SplitReport {
  const splits = SPLITS.map((split) => summarise(split, files[split]));
  const overlaps = [overlap('valid', 'train', files), overlap('test', 'train', files), overlap('test', 'valid', files)];
  const report = { splits, overlaps, warnings: splits.flatMap((split) => warningsOf(split, files[split.split])) };
  if (lengths === undefined) return report;
  const proteins = new Set(SPLITS.flatMap((split) => files[split].proteins));
  const known = Array.from(proteins, (protein) => lengths.lengthOf(protein)).filter((length) => length !== undefined);
  return { ...report, lengths: summariseLengths(known, lengths.maxLength) };
}

function summarise(split: SplitName, file: PairFile): SplitSummary {
  const positives = file.labels.reduce((sum, label) => sum + label, 0);
  return {
    split,
    path: file.path,
    pairs: file.labels.length,
    positives,
    negatives: file.labels.length - positives,
    proteins: file.proteins.length,
    selfPairs: file.selfPairs,
    duplicates: file.duplicates.count,
    conflicts: file.conflicts.count,
    skippedLines: file.skipped.count,
  };
}

function overlap(split: SplitName, other: SplitName, files: PairFiles): SplitOverlap {
  const [file, against] = [files[split], files[other]];
  const size = against.proteins.length;
  const indexOf = new Map(against.proteins.map((protein, i) => [protein, i]));
  const counterpart = file.proteins.map((protein) => indexOf.get(protein));
  const theirs = new Set(Array.from(against.a, (a, r) => unorderedPairKey(a, against.b[r], size)));
  const shared = new Set<number>();
  for (let r = 0; r < file.labels.length; r++) {
    const [i, j] = [counterpart[file.a[r]], counterpart[file.b[r]]];
    if (i === undefined || j === undefined) continue;
    const key = unorderedPairKey(i, j, size);
    if (theirs.has(key)) shared.add(key);
  }
  return {
    split,
    with: other,
    sharedProteins: counterpart.filter((index) => index !== undefined).length,
    proteins: file.proteins.length,
    sharedPairs: shared.size,
  };
}

function warningsOf(summary: SplitSummary, file: PairFile): string[] {
  const { split, path } = summary;
  const warnings: string[] = [];
  if (summary.positives === 0 || summary.negatives === 0) {
    const kind = summary.negatives === 0 ? 'positive' : 'negative';
    const consequence =
      split === 'train'
        ? 'the model can learn nothing but that answer'
        : 'AUROC is undefined because it compares positives with negatives, and AUPRC says nothing';
    warnings.push(`Every pair of the ${split} split is ${kind} (${path}): ${consequence}`);
  }
  if (file.skipped.count > 0) {
    const more = file.skipped.count > file.skipped.first.length ? ', ...' : '';
    warnings.push(
      `${file.skipped.count} line(s) of ${path} are not three tab-separated fields and were skipped: line ${file.skipped.first.join(', ')}${more}`,
    );
  }
  const [conflict] = file.conflicts.first;
  if (conflict !== undefined) {
    warnings.push(
      `${file.conflicts.count} pair(s) of ${path} stand with both labels and are kept so; the first is ${conflict.a} and ${conflict.b}, lines ${conflict.lines.join(' and ')}`,
    );
  }
  return warnings;
}
