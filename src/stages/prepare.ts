/** Data made ready for all stages: simulated if asked, read, reported, embedded, packed. */
import { dirname } from 'node:path';
import { ensureDirectory, writeFileAtomic } from '../artifacts/files.ts';
import { writePackedStore } from '../artifacts/packed-store.ts';
import type { LoadedConfig } from '../config/load.ts';
import { buildDataset, type Dataset } from '../data/dataset.ts';
import type { OpenEmbeddings } from '../data/open-embeddings.ts';
import { describeSplits } from '../data/report.ts';
import { reportEvents } from '../data/report-events.ts';
import { SPLITS } from '../data/splits.ts';
import { PackedStore } from '../data/store.ts';
import { type EventLog, float } from '../log.ts';
import { simulatedFiles } from './simulated-files.ts';
import { openConfigEmbeddings, readSplits } from './splits.ts';

export interface PreparedData {
  readonly dataset: Dataset;
  /** Open; the caller closes it. */
  readonly store: PackedStore;
}

/**
 * @param log gets what was found, as notes.
 * @throws whatever reading pairs, opening embeddings and packing throw.
 */
export function prepareData(loaded: LoadedConfig, log: EventLog): PreparedData {
  const { config } = loaded;
  writeSimulatedFiles(loaded, log);
  const files = readSplits(config);
  const embeddings = openConfigEmbeddings(loaded, files);
  const { source, entryOf, storePath } = embeddings;
  if (!embeddings.ready) packStore(embeddings, loaded, log);
  const maxLength = config.data_config.max_sequence_length;
  const store = PackedStore.open(storePath, { maxLength });
  try {
    const lengthOf = (protein: string) => {
      const index = SPLITS.map((split) => store.indexOf(entryOf(protein, split))).find((i) => i >= 0);
      return index === undefined ? undefined : store.residues(index);
    };
    for (const event of reportEvents(describeSplits(files, { lengthOf, maxLength }))) {
      log.note(event.level, event.name, event.fields);
    }
    log.note('info', 'embeddings_ready', { source: source.describe(), path: storePath, proteins: store.count });
    return { dataset: buildDataset(files, store, entryOf), store };
  } catch (error) {
    store.close();
    throw error;
  }
}

function writeSimulatedFiles({ config }: LoadedConfig, log: EventLog): void {
  const { missing, different } = simulatedFiles(config.data_config);
  for (const [path, text] of missing) {
    ensureDirectory(dirname(path));
    writeFileAtomic(path, text);
    log.note('info', 'simulated_file_written', { path });
  }
  for (const path of different) {
    log.note('warning', 'simulated_file_differs', { path, fix: 'delete it to simulate it from the current settings' });
  }
}

function packStore({ source, neededIds, storePath }: OpenEmbeddings, { config }: LoadedConfig, log: EventLog): void {
  const started = performance.now();
  const { dtype } = config.data_config.embeddings;
  log.note('info', 'store_packing', { source: source.describe(), path: storePath, proteins: neededIds.length });
  const { bytes, residues } = writePackedStore(storePath, {
    dim: source.dim,
    dtype,
    source: source.name,
    fingerprint: source.fingerprint,
    ids: neededIds,
    lengthOf: (id) => source.length(id),
    rowsOf: (id) => source.rows(id),
  });
  const seconds = float((performance.now() - started) / 1000);
  log.note('info', 'store_packed', { path: storePath, proteins: neededIds.length, residues, bytes, dtype, seconds });
}
