import { writePackedStore } from '../../artifacts/packed-store.ts';
import { readCacheIndex } from '../../data/cache-files.ts';
import { openSource } from '../../data/embeddings/registry.ts';
import type { EmbeddingSource } from '../../data/embeddings/source.ts';
import { readFasta } from '../../data/fasta.ts';
import { PackedStore } from '../../data/store.ts';
import { STORE_DTYPES, type StoreDtype } from '../../data/store-format.ts';
import { nearest, RelicError } from '../../errors.ts';
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
    const { path, source, ids, dtype } = values.config === undefined ? await fromSource(values) : await fromConfig(values, output);
    const { bytes: size, residues } = writePackedStore(path, {
      dim: source.dim,
      dtype,
      source: source.name,
      fingerprint: source.fingerprint,
      ids,
      lengthOf: (id) => source.length(id),
      rowsOf: (id) => source.rows(id),
    });
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    output.stdout(`${source.describe()}\n`);
    output.stdout(
      `packed ${grouped(ids.length)} proteins, ${grouped(residues)} residues of ${source.dim} ${dtype}, ${bytes(size)}, in ${seconds} s: ${path}\n`,
    );
  },
});
