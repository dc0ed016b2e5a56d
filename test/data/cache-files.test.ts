import { deepStrictEqual, notStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { readCacheIndex, readCacheMetadata } from '../../src/data/cache-files.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('cache-files');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

const METADATA = {
  schema_version: 1,
  source: 'esm3',
  model_name: 'esm3_sm_open_v1',
  input_dim: 1536,
  max_sequence_length: 1024,
  format: 'torch_pt_per_protein',
};

function indexOf(value: unknown) {
  writeFileSync(join(dir, 'index.json'), typeof value === 'string' ? value : JSON.stringify(value));
  return () => readCacheIndex(dir);
}

function metadataOf(changes: Record<string, unknown>) {
  writeFileSync(join(dir, 'metadata.json'), JSON.stringify({ ...METADATA, ...changes }));
  return () => readCacheMetadata(dir, 1536);
}

test('reads ids and relative paths, and hashes the file', () => {
  const { index, hash } = indexOf({ P1: 'embeddings/P1.pt', __proto2__: './a/../b.pt' })();
  deepStrictEqual(
    [...index],
    [
      ['P1', 'embeddings/P1.pt'],
      ['__proto2__', './a/../b.pt'],
    ],
  );
  strictEqual(indexOf({ P1: 'embeddings/P1.pt', __proto2__: './a/../b.pt' })().hash, hash);
  notStrictEqual(indexOf({ P1: 'embeddings/P1.pt' })().hash, hash);
});

for (const path of [
  '/etc/passwd',
  '../P1.pt',
  'a/../../P1.pt',
  '..',
  '',
  'C:\\P1.pt',
  'c:P1.pt',
  'a\\..\\..\\P1.pt',
  '\\P1.pt',
  'a\0.pt',
  7,
  null,
]) {
  test(`refuses the path ${JSON.stringify(path)} and names its protein`, () => {
    const error = assertThrowsCode(
      indexOf({ good: 'good.pt', bad: path }),
      'RELIC_EMBEDDING_INVALID',
      /do not leave it/,
    );
    deepStrictEqual(
      error.problems.map((problem) => problem.where),
      ['bad'],
    );
  });
}

test('an index that is missing or not a JSON mapping says what a cache is and what else there is', () => {
  assertThrowsCode(indexOf('{'), 'RELIC_EMBEDDING_SOURCE', /index\.json: Not JSON/);
  assertThrowsCode(indexOf(['P1']), 'RELIC_EMBEDDING_SOURCE', /Not a mapping/);
  assertThrowsCode(
    () => readCacheIndex(join(dir, 'nowhere')),
    'RELIC_EMBEDDING_SOURCE',
    /index\.json cannot be read.*ENOENT.*sequence .*synthetic .*store /s,
  );
});

test('reads the metadata', () => {
  deepStrictEqual(metadataOf({})(), { source: 'esm3', modelName: 'esm3_sm_open_v1', maxSequenceLength: 1024 });
});

test('another layout or width is refused with what was expected', () => {
  assertThrowsCode(
    metadataOf({ schema_version: 2 }),
    'RELIC_EMBEDDING_SOURCE',
    /schema_version: expected 1 .*received 2/,
  );
  assertThrowsCode(metadataOf({ format: 'h5' }), 'RELIC_EMBEDDING_SOURCE', /format: expected "torch_pt_per_protein"/);
  assertThrowsCode(metadataOf({ input_dim: 64 }), 'RELIC_EMBEDDING_INVALID', /input_dim 1536 .*received 64/);
  rmSync(join(dir, 'metadata.json'));
  assertThrowsCode(() => readCacheMetadata(dir, 1536), 'RELIC_EMBEDDING_SOURCE', /metadata\.json cannot be read/);
});

test.run();
