import { writePackedStore } from '../../artifacts/packed-store.ts';
import { STORE_DTYPES, type StoreDtype } from '../../artifacts/store-format.ts';
import { readCacheIndex } from '../../data/cache-files.ts';
import { EMBEDDING_SOURCES } from '../../data/embeddings/registry.ts';
import type { EmbeddingSource } from '../../data/embeddings/source.ts';
import { readFasta } from '../../data/fasta.ts';
import { PackedStore } from '../../data/store.ts';
import { nearest, RelicError } from '../../errors.ts';
import { openConfigEmbeddings, readSplits } from '../../stages/splits.ts';
import { command, type Output } from '../command.ts';
import { CONFIG_OPTIONS, loadWithWarnings } from '../config.ts';
import { bytes, grouped } from '../table.ts';

export const pack = command({
  details: [
    'Writes all embeddings of a source into one .safetensors file. A run packs what it needs by itself, into',
    'data_config.embeddings.store_dir; this command does it ahead of time, or for a source of your choice:',
    '  --config FILE            the proteins of the three splits of a config, from its own source',
    '  --source NAME --path P   every protein of a FASTA file (sequence), of a RELIC cache (cache) or of a store (store)',
    'Use the file with data_config.embeddings.source=store and data_config.embeddings.path=FILE.',
  ].join('\n'),
  examples: [
    'relic-train pack --config configs/v3.yaml',
    'relic-train pack --source sequence --path proteins.fasta --dim 64 --out proteins.safetensors',
    'relic-train pack --source cache --path data/embeddings/esm3 --dim 1536 --dtype float16 --out esm3.safetensors',
  ],
  options: {
    ...CONFIG_OPTIONS,
    config: { ...CONFIG_OPTIONS.config, required: false },
    source: { type: 'text', value: 'NAME', description: 'sequence, cache or store' },
    path: { type: 'text', value: 'PATH', description: 'the FASTA file, the cache folder or the store' },
    dim: { type: 'integer', value: 'N', minimum: 1, description: 'width of an embedding (model_config.input_dim)' },
    dtype: { type: 'text', value: 'TYPE', description: `${STORE_DTYPES.join(', ')} (float32)` },
    out: { type: 'text', value: 'FILE', description: 'the store to write; with --config the place where a run looks' },
  },
  async run(values, output) {
    const started = performance.now();
    const dtype = values.dtype === undefined ? undefined : knownDtype(values.dtype);
    const work = values.config === undefined ? ofSource(values) : ofConfig(values.config, values.set, output);
    const { source, ids } = work;
    if (work.ready && values.out === undefined) return output.stdout(`packed already: ${work.path}\n`);
    const path = values.out ?? work.path;
    const { bytes: size, residues } = writePackedStore(path, {
      dim: source.dim,
      dtype: dtype ?? work.dtype,
      source: source.name,
      fingerprint: source.fingerprint,
      ids,
      lengthOf: (id) => source.length(id),
      rowsOf: (id) => source.rows(id),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const what = `${grouped(ids.length)} proteins, ${grouped(residues)} residues of ${source.dim} x ${dtype ?? work.dtype}`;
    output.stdout(`${source.describe()}\npacked ${what}, ${bytes(size)}, in ${seconds} s: ${path}\n`);
  },
});

/** What to pack, and where to. */
interface Work {
  readonly source: EmbeddingSource;
  readonly ids: readonly string[];
  readonly dtype: StoreDtype;
  readonly path: string;
  /** The file is there already. */
  readonly ready: boolean;
}

function ofConfig(configPath: string, set: readonly string[], output: Output): Work {
  const loaded = loadWithWarnings(configPath, set, output);
  const { source, neededIds, storePath, ready } = openConfigEmbeddings(loaded, readSplits(loaded.config));
  return { source, ids: neededIds, dtype: loaded.config.data_config.embeddings.dtype, path: storePath, ready };
}

interface SourceValues {
  readonly source: string | undefined;
  readonly path: string | undefined;
  readonly dim: number | undefined;
  readonly out: string | undefined;
}

/** Every protein of a source that can list its proteins. */
function ofSource({ source: name, path, dim, out }: SourceValues): Work {
  const missing = Object.entries({ source: name, path, dim, out }).filter(([, value]) => value === undefined);
  if (name === undefined || path === undefined || dim === undefined || out === undefined) {
    throw usage(`without --config, ${missing.map(([option]) => `--${option}`).join(', ')} must be given`);
  }
  const idsOf = Object.hasOwn(LISTINGS, name) ? LISTINGS[name] : undefined;
  if (idsOf === undefined) {
    throw usage(
      `--source ${name} cannot be packed`,
      Object.keys(LISTINGS).join(', '),
      nearest(name, Object.keys(LISTINGS)),
    );
  }
  const source = EMBEDDING_SOURCES[name]({ ...UNUSED, path, dim });
  return { source, ids: [...idsOf(path)].sort(), dtype: 'float32', path: out, ready: false };
}

/** What the sources that read files do not look at. */
const UNUSED = { cacheDir: null, maxLength: Number.MAX_SAFE_INTEGER, seed: 0, perSplitEmbeddingSeeds: false };

/** The proteins of a source by its path. */
const LISTINGS: Readonly<Record<string, (path: string) => Iterable<string>>> = {
  sequence: sequenceNames,
  cache: (path) => readCacheIndex(path).index.keys(),
  store: (path) => {
    const store = PackedStore.open(path, { maxLength: Number.MAX_SAFE_INTEGER });
    store.close();
    return store.ids;
  },
};

/** One name a record: of UniProt's `sp|P12345|NAME` the accession, which stands in pair files. */
function sequenceNames(path: string): string[] {
  const fasta = readFasta(path);
  const ids = new Set(fasta.records.map(({ id }) => id));
  const names = [...fasta.names()];
  // A record's accession, where it has one, comes right after its id.
  return names.filter((_, i) => i + 1 === names.length || ids.has(names[i + 1]));
}

function knownDtype(text: string): StoreDtype {
  const dtype = STORE_DTYPES.find((name) => name === text);
  if (dtype !== undefined) return dtype;
  throw usage(`--dtype ${text} is unknown`, STORE_DTYPES.join(', '), nearest(text, STORE_DTYPES));
}

function usage(subject: string, expected?: string, near?: string): RelicError {
  return new RelicError('RELIC_USAGE', subject, {
    ...(expected === undefined ? {} : { expected }),
    fix: near === undefined ? 'see relic-train pack --help' : `did you mean ${near}? See relic-train pack --help`,
  });
}
