/** What a run would read or pack for its embeddings, found out without packing. */
import { statSync } from 'node:fs';
import { normalize } from 'node:path';
import { storeBytes } from '../artifacts/store-format.ts';
import type { LoadedConfig } from '../config/load.ts';
import { parseFasta } from '../data/fasta.ts';
import { type PairFiles, SPLITS } from '../data/splits.ts';
import { openConfigEmbeddings } from './splits.ts';

export interface EmbeddingPlan {
  /** The source in words. */
  readonly source: string;
  /** The packed store; null while the files it is made of do not exist. */
  readonly path: string | null;
  /** False when the run will pack it first. */
  readonly ready: boolean;
  /** Embeddings needed, and residues of them all before truncation. */
  readonly proteins: number;
  readonly residues: number;
  /** Size of the store. */
  readonly bytes: number;
}

export interface PlannedEmbeddings {
  readonly plan: EmbeddingPlan;
  /** Residues of a protein before truncation; undefined for one that is not known. */
  lengthOf(protein: string): number | undefined;
}

/**
 * @param unwritten texts by path of files that the run will simulate.
 * @throws RELIC_EMBEDDING_MISSING and whatever opening the source throws.
 */
export function planEmbeddings(
  loaded: LoadedConfig,
  files: PairFiles,
  unwritten: ReadonlyMap<string, string>,
): PlannedEmbeddings {
  const { embeddings } = loaded.config.data_config;
  const fasta = Array.from(unwritten).find(
    ([path]) => embeddings.path !== null && normalize(path) === normalize(embeddings.path),
  );
  if (fasta !== undefined) {
    const sequences = parseFasta(Buffer.from(fasta[1]), fasta[0]);
    const lengthOf = (protein: string) => sequences.get(protein)?.length;
    const ids = [...new Set(SPLITS.flatMap((split) => files[split].proteins))];
    const source = `${embeddings.source}: ${sequences.size} proteins of ${fasta[0]}, which the run will simulate`;
    return { plan: sized(loaded, ids, lengthOf, { source, path: null, ready: false }), lengthOf };
  }
  const { source, entryOf, neededIds, storePath, ready } = openConfigEmbeddings(loaded, files);
  const plan = sized(loaded, neededIds, (id) => source.length(id), {
    source: source.describe(),
    path: storePath,
    ready,
  });
  const lengthOf = (protein: string) => {
    const id = SPLITS.map((split) => entryOf(protein, split)).find((each) => source.has(each));
    return id === undefined ? undefined : source.length(id);
  };
  return { plan: ready ? { ...plan, bytes: statSync(storePath).size } : plan, lengthOf };
}

function sized(
  { config }: LoadedConfig,
  ids: readonly string[],
  lengthOf: (id: string) => number | undefined,
  facts: Pick<EmbeddingPlan, 'source' | 'path' | 'ready'>,
): EmbeddingPlan {
  const residues = ids.reduce((sum, id) => sum + (lengthOf(id) ?? 0), 0);
  const idBytes = ids.reduce((sum, id) => sum + Buffer.byteLength(id) + 1, 0);
  const sizes = storeBytes({
    dtype: config.data_config.embeddings.dtype,
    dim: config.model_config.input_dim,
    count: ids.length,
    totalRows: residues,
    idBytes,
  });
  return { ...facts, proteins: ids.length, residues, bytes: sizes.embeddings + sizes.offsets + sizes.ids };
}
