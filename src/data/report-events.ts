/** The split report as log events. */
import type { SplitReport } from './report.ts';

export interface ReportEvent {
  readonly name: string;
  readonly level: 'info' | 'warning';
  readonly fields: Readonly<Record<string, string | number>>;
}

/** One event a split, one an overlap, one for lengths where known, one a warning; in this order. */
export function reportEvents(report: SplitReport): ReportEvent[] {
  const events: ReportEvent[] = [];
  const add = (name: string, fields: ReportEvent['fields'], level: ReportEvent['level'] = 'info') =>
    events.push({ name, level, fields });
  for (const summary of report.splits) {
    add('split_summary', {
      split: summary.split,
      pairs: summary.pairs,
      positives: summary.positives,
      negatives: summary.negatives,
      proteins: summary.proteins,
      self_pairs: summary.selfPairs,
      duplicate_pairs: summary.duplicates,
      conflicting_pairs: summary.conflicts,
      skipped_lines: summary.skippedLines,
    });
  }
  for (const overlap of report.overlaps) {
    add('split_overlap', {
      split: overlap.split,
      with: overlap.with,
      shared_proteins: overlap.sharedProteins,
      proteins: overlap.proteins,
      shared_pairs: overlap.sharedPairs,
    });
  }
  const { lengths } = report;
  if (lengths !== undefined) {
    add('protein_lengths', {
      proteins: lengths.proteins,
      min: lengths.min,
      mean: lengths.mean,
      max: lengths.max,
      bin_width: lengths.binWidth,
      histogram: lengths.counts.join(','),
      max_sequence_length: lengths.maxLength,
      truncated: lengths.truncated,
    });
  }
  for (const warning of report.warnings) add('data_warning', { message: warning }, 'warning');
  return events;
}
