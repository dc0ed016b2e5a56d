import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as names from '../../../src/config/names.ts';
import { EMBEDDING_SOURCES, openSource } from '../../../src/data/embeddings/registry.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('embedding registry');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

const OPTIONS = { path: null, cacheDir: null, dim: 4, maxLength: 3, seed: 47, perSplitEmbeddingSeeds: false };

test('has one source a file of its folder, and the names the config knows', () => {
  const folder = new URL('../../../src/data/embeddings/', import.meta.url);
  const files = readdirSync(folder)
    .map((file) => file.replace(/\.ts$/, ''))
    .filter((name) => name !== 'registry' && name !== 'source');
  deepStrictEqual(Object.keys(EMBEDDING_SOURCES).sort(), files.sort());
  deepStrictEqual(Object.keys(EMBEDDING_SOURCES).sort(), [...names.EMBEDDING_SOURCES].sort());
});

test('opens a source by its name, with the options it needs', () => {
  const source = openSource('synthetic', { ...OPTIONS, perSplitEmbeddingSeeds: true }, false);
  strictEqual(source.name, 'synthetic');
  strictEqual(source.entry?.('P1', 'valid'), '48:P1');
  deepStrictEqual([source.dim, source.length('47:P1')], [4, 3]);
});

test('a source that needs a path says so', () => {
  for (const name of ['cache', 'sequence', 'store']) {
    assertThrowsCode(() => openSource(name, OPTIONS, true), 'RELIC_EMBEDDING_SOURCE', /data_config\.embeddings\.path/);
  }
});

test('the name of a language model means its cache, and synthetic embeddings where RELIC is reproduced', () => {
  strictEqual(openSource('esm3', { ...OPTIONS, cacheDir: dir }, true).name, 'synthetic');
  assertThrowsCode(
    () => openSource('esm3', { ...OPTIONS, cacheDir: dir }, false),
    'RELIC_EMBEDDING_SOURCE',
    /index\.json/,
  );
  assertThrowsCode(() => openSource('constructor', { ...OPTIONS, cacheDir: dir }, false), 'RELIC_EMBEDDING_SOURCE');
});

test('path goes before cache_dir', () => {
  const options = { ...OPTIONS, path: join(dir, 'mine'), cacheDir: join(dir, 'old') };
  assertThrowsCode(() => openSource('cache', options, false), 'RELIC_EMBEDDING_SOURCE', /mine/);
});

test.run();
