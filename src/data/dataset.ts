/** Pair files joined with an embedding store: what samplers draw from and batches are made of. */
import { type Problem, RelicError, shown } from '../errors.ts';
import { LISTED, type PairFile } from './pairs.ts';
import { type PairFiles, SPLITS, type SplitName } from './splits.ts';

/** One split as indices into the store: pair r is proteins `a[r]`, `b[r]` with label `labels[r]`. */
export interface Split {
  readonly name: SplitName;
  readonly path: string;
  readonly a: Int32Array;
  readonly b: Int32Array;
  /** 0 or 1. */
  readonly labels: Float32Array;
  /** One-based lines of `path`. */
  readonly lines: Int32Array;
}

export type Dataset = Readonly<Record<SplitName, Split>>;

/** One step's pairs: store indices and labels, B of each. */
export interface Batch {
  readonly proteinA: Int32Array;
  readonly proteinB: Int32Array;
  readonly labels: Float32Array;
}

/** The id under which a protein of a split is embedded; the protein itself but for per-split synthetic embeddings. */
export type EntryOf = (protein: string, split: SplitName) => string;

/** What is asked of a store here. */
export interface StoreIndex {
  /** -1 for an id it does not have. */
  indexOf(id: string): number;
}

const ownName: EntryOf = (protein) => protein;

/** @throws RELIC_EMBEDDING_MISSING as {@link requireEmbeddings}. */
export function buildDataset(files: PairFiles, store: StoreIndex, entryOf: EntryOf = ownName): Dataset {
  requireEmbeddings(files, (id) => store.indexOf(id) >= 0, entryOf);
  const split = (name: SplitName): Split => {
    const { path, a, b, labels, lines, proteins } = files[name];
    const indices = proteins.map((protein) => store.indexOf(entryOf(protein, name)));
    const mapped = (column: Int32Array) => column.map((protein) => indices[protein]);
    return { name, path, a: mapped(a), b: mapped(b), labels: Float32Array.from(labels), lines };
  };
  return { train: split('train'), valid: split('valid'), test: split('test') };
}

/**
 * Passes when every protein of every split has an embedding.
 *
 * @throws RELIC_EMBEDDING_MISSING: how many have none, and of the first ten their names and first pair lines.
 */
export function requireEmbeddings(files: PairFiles, has: (id: string) => boolean, entryOf: EntryOf = ownName): void {
  const missing = new Set<string>();
  const problems: Problem[] = [];
  for (const name of SPLITS) {
    const file = files[name];
    for (const [index, protein] of file.proteins.entries()) {
      if (missing.has(protein) || has(entryOf(protein, name))) continue;
      missing.add(protein);
      if (problems.length < LISTED) {
        problems.push({ where: firstLine(file, index), message: `protein ${shown(protein)} has no embedding` });
      }
    }
  }
  if (missing.size === 0) return;
  throw new RelicError('RELIC_EMBEDDING_MISSING', `${missing.size} protein(s) of the pair files have no embedding`, {
    problems,
    fix: 'add them to data_config.embeddings (its index.json, FASTA file or store), or take their pairs out',
  });
}

/** `path:line` of the first pair that names this protein. */
function firstLine(file: PairFile, protein: number): string {
  const record = file.a.findIndex((a, r) => a === protein || file.b[r] === protein);
  return `${file.path}:${file.lines[record]}`;
}

/**
 * The pairs of `split` at these positions, in this order.
 *
 * @throws RELIC_BATCH_INVALID when there is no position, or one is not that of a pair.
 */
export function makeBatch(split: Split, positions: ArrayLike<number>): Batch {
  const size = positions.length;
  if (size === 0) throw invalidBatch(split, 'at least one pair', 'none');
  const batch = { proteinA: new Int32Array(size), proteinB: new Int32Array(size), labels: new Float32Array(size) };
  for (let i = 0; i < size; i++) {
    const r = positions[i];
    if (!(Number.isInteger(r) && r >= 0 && r < split.labels.length)) {
      throw invalidBatch(split, `positions from 0 to ${split.labels.length - 1}`, shown(r));
    }
    batch.proteinA[i] = split.a[r];
    batch.proteinB[i] = split.b[r];
    batch.labels[i] = split.labels[r];
  }
  return batch;
}

function invalidBatch(split: Split, expected: string, received: string): RelicError {
  return new RelicError('RELIC_BATCH_INVALID', `Invalid batch of the ${split.name} split`, { expected, received });
}
