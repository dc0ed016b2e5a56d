import { deepStrictEqual, match, notStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePackedStore } from '../../src/artifacts/packed-store.ts';
import { buildDataset } from '../../src/data/dataset.ts';
import { type EmbeddingOptions, openEmbeddings } from '../../src/data/open-embeddings.ts';
import { readPairs } from '../../src/data/pairs.ts';
import { PackedStore } from '../../src/data/store.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('open-embeddings');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

const OPTIONS: EmbeddingOptions = {
  source: 'synthetic',
  path: null,
  cacheDir: null,
  storeDir: join(dir, 'packed'),
  dtype: 'float32',
  dim: 4,
  maxLength: 3,
  seed: 47,
  perSplitEmbeddingSeeds: false,
  legacySourceIsSynthetic: false,
};

function files(train: string, valid = 'A B 1', test = 'A B 0') {
  const read = (name: string, text: string) => {
    const path = join(dir, `${name}.txt`);
    writeFileSync(path, text.replaceAll(' ', '\t'));
    return readPairs(path);
  };
  return { train: read('train', train), valid: read('valid', valid), test: read('test', test) };
}

function pack(opened: ReturnType<typeof openEmbeddings>): void {
  const { source, neededIds, storePath } = opened;
  writePackedStore(storePath, {
    dim: source.dim,
    dtype: 'float32',
    source: source.name,
    fingerprint: source.fingerprint,
    ids: neededIds,
    lengthOf: (id) => source.length(id),
    rowsOf: (id) => source.rows(id),
  });
}

test('asks for every protein of every split once, sorted', () => {
  deepStrictEqual(openEmbeddings(OPTIONS, files('C B 1\nB Z 0\n', 'D B 1', 'a B 1')).neededIds, [
    'B',
    'C',
    'D',
    'Z',
    'a',
  ]);
});

test('is ready once the store is packed, and the store serves the splits', () => {
  const pairs = files('C B 1\nA C 0\n');
  const first = openEmbeddings(OPTIONS, pairs);
  strictEqual(first.ready, false);
  match(first.storePath, /packed[\\/]synthetic-[0-9a-f]{16}\.safetensors$/);
  pack(first);
  const again = openEmbeddings(OPTIONS, pairs);
  deepStrictEqual([again.ready, again.storePath], [true, first.storePath]);

  const store = PackedStore.open(again.storePath, { maxLength: OPTIONS.maxLength });
  const { train } = buildDataset(pairs, store, again.entryOf);
  const rows = new Float32Array(12);
  store.read(train.a[0], rows, 0);
  deepStrictEqual(rows, again.source.rows('C'));
  store.close();
});

test('per split, one protein has an entry in each', () => {
  const opened = openEmbeddings({ ...OPTIONS, perSplitEmbeddingSeeds: true }, files('A B 1', 'A B 1', 'A A 1'));
  deepStrictEqual(opened.neededIds, ['47:A', '47:B', '48:A', '48:B', '49:A']);
  strictEqual(opened.entryOf('A', 'test'), '49:A');
});

test('the store is another for another source, number format or set of proteins, not for another order', () => {
  const pathOf = (options: Partial<EmbeddingOptions>, train = 'C B 1\n') =>
    openEmbeddings({ ...OPTIONS, ...options }, files(train)).storePath;
  const path = pathOf({});
  strictEqual(pathOf({}, 'B C 0\nC A 1\n'), path);
  const others = [pathOf({ seed: 48 }), pathOf({ dtype: 'float16' }), pathOf({ dim: 5 }), pathOf({}, 'C D 1\n')];
  for (const other of others) notStrictEqual(other, path);
  strictEqual(new Set(others).size, others.length);
});

test('an existing store is used where it is', () => {
  const packed = openEmbeddings(OPTIONS, files('C B 1'));
  pack(packed);
  const opened = openEmbeddings({ ...OPTIONS, source: 'store', path: packed.storePath }, files('C B 1'));
  deepStrictEqual([opened.ready, opened.storePath, opened.source.name], [true, packed.storePath, 'store']);
});

test('proteins that the source lacks are named before anything is packed', () => {
  const packed = openEmbeddings(OPTIONS, files('C B 1'));
  pack(packed);
  const open = () => openEmbeddings({ ...OPTIONS, source: 'store', path: packed.storePath }, files('C B 1\nC Q 0'));
  assertThrowsCode(open, 'RELIC_EMBEDDING_MISSING', /train\.txt:2: protein "Q"/);
});

test('the name of a language model is its cache, or synthetic under the compat switch', () => {
  const options = { ...OPTIONS, source: 'esm3', cacheDir: join(dir, 'esm3') };
  assertThrowsCode(() => openEmbeddings(options, files('A B 1')), 'RELIC_EMBEDDING_SOURCE', /esm3.*index\.json/);
  strictEqual(openEmbeddings({ ...options, legacySourceIsSynthetic: true }, files('A B 1')).source.name, 'synthetic');
});

test.run();
