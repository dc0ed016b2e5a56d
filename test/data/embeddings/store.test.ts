import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePackedStore } from '../../../src/artifacts/packed-store.ts';
import { StoreSource } from '../../../src/data/embeddings/store.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('store source');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
const path = join(dir, 'mine.safetensors');
test.after(() => rmSync(dir, { recursive: true }));
test.before(() => {
  const rows: Record<string, number[]> = { P1: [1, 2], P2: [3, 4, 5, 6] };
  writePackedStore(path, {
    dim: 2,
    dtype: 'float32',
    source: 'cache',
    fingerprint: 'beef',
    ids: Object.keys(rows),
    lengthOf: (id) => rows[id].length / 2,
    rowsOf: (id) => Float32Array.from(rows[id]),
  });
});

test('gives the rows that were packed, and the fingerprint of their source', () => {
  const source = new StoreSource({ path, dim: 2 });
  deepStrictEqual([...source.rows('P2')], [3, 4, 5, 6]);
  deepStrictEqual([source.length('P1'), source.length('P2')], [1, 2]);
  deepStrictEqual([source.has('P1'), source.has('P3')], [true, false]);
  strictEqual(source.fingerprint, 'beef');
  match(source.describe(), /2 proteins packed from cache, width 2/);
});

test('an absent protein, another width and a missing file are errors', () => {
  const source = new StoreSource({ path, dim: 2 });
  assertThrowsCode(() => source.rows('P3'), 'RELIC_EMBEDDING_MISSING', /"P3"/);
  assertThrowsCode(() => source.length('P3'), 'RELIC_EMBEDDING_MISSING', /"P3"/);
  assertThrowsCode(() => new StoreSource({ path, dim: 3 }), 'RELIC_EMBEDDING_INVALID', /expected 3 .*received 2/);
  assertThrowsCode(() => new StoreSource({ path: join(dir, 'no'), dim: 2 }), 'RELIC_STORE_INVALID');
});

test.run();
