/** `data_config.dataloader.max_samples_per_split`: a smaller split for quick runs. */
import { TorchGenerator } from '../random/torch-generator.ts';
import { type PairFile, selectPairs } from './pairs.ts';

/**
 * How the records are chosen. `first` is RELIC's rule, which takes the file's first records whatever their labels;
 * `stratified` draws a seeded sample with the file's share of positives, in file order.
 */
export type PairLimit = 'first' | 'stratified';

/**
 * At most `max` records of `file`; the file itself when it has no more. At least one record is kept, even for
 * `max` <= 0 (contract 1.2). A stratified cap of 2 or more keeps one of each class where the file has both.
 */
export function limitPairs(file: PairFile, max: number, limit: PairLimit, seed: number): PairFile {
  const total = file.labels.length;
  const wanted = Math.max(1, max);
  if (wanted >= total) return file;
  if (limit === 'first')
    return selectPairs(
      file,
      Int32Array.from({ length: wanted }, (_, r) => r),
    );

  const byLabel: [number[], number[]] = [[], []];
  for (let r = 0; r < total; r++) byLabel[file.labels[r]].push(r);
  const [negatives, positives] = byLabel;
  const bothClasses = wanted >= 2 && negatives.length > 0 && positives.length > 0 ? 1 : 0;
  const share = Math.round((wanted * positives.length) / total);
  const positivesKept = Math.min(Math.max(share, bothClasses), wanted - bothClasses);
  const generator = new TorchGenerator(seed);
  const sample = (records: number[], n: number) =>
    Array.from(generator.randperm(records.length).subarray(0, n), (i) => records[i]);
  const kept = [...sample(positives, positivesKept), ...sample(negatives, wanted - positivesKept)];
  return selectPairs(
    file,
    kept.sort((x, y) => x - y),
  );
}
