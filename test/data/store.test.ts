import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePackedStore } from '../../src/artifacts/packed-store.ts';
import type { StoreDtype } from '../../src/artifacts/store-format.ts';
import { PackedStore } from '../../src/data/store.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('store');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

const ROWS: Record<string, number[]> = { P1: [1, 2], P2: [3, 4, 5, 6, 7, 8], Ä3: [0.5, -0.25] };
const path = join(dir, 'store.safetensors');

function written(dtype: StoreDtype = 'float32'): string {
  writePackedStore(path, {
    dim: 2,
    dtype,
    source: 'cache',
    fingerprint: 'beef',
    ids: Object.keys(ROWS),
    lengthOf: (id) => ROWS[id].length / 2,
    rowsOf: (id) => Float32Array.from(ROWS[id]),
  });
  return path;
}

test('knows its proteins, widths and true lengths', () => {
  const store = PackedStore.open(written(), { maxLength: 100 });
  deepStrictEqual([store.dim, store.count, store.truncated], [2, 3, 0]);
  deepStrictEqual(store.ids, ['P1', 'P2', 'Ä3']);
  deepStrictEqual([...store.lengths], [1, 3, 1]);
  deepStrictEqual(
    ['P2', 'Ä3', 'P9', 'toString'].map((id) => store.indexOf(id)),
    [1, 2, -1, -1],
  );
  deepStrictEqual(store.identity, { source: 'cache', fingerprint: 'beef' });
  store.close();
});

for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
  test(`reads ${dtype} rows into the place asked for and nowhere else`, () => {
    const store = PackedStore.open(written(dtype), { maxLength: 100 });
    const out = new Float32Array(10).fill(-1);
    store.read(1, out, 3);
    deepStrictEqual([...out], [-1, -1, -1, 3, 4, 5, 6, 7, 8, -1]);
    store.read(2, out, 0);
    deepStrictEqual([...out.subarray(0, 3)], [0.5, -0.25, -1]);
    store.close();
  });
}

test('longer proteins are cut to the maximum length and counted', () => {
  const store = PackedStore.open(written(), { maxLength: 2 });
  deepStrictEqual([...store.lengths], [1, 2, 1]);
  strictEqual(store.truncated, 1);
  strictEqual(store.residues(1), 3);
  const out = new Float32Array(6).fill(-1);
  store.read(1, out, 0);
  deepStrictEqual([...out], [3, 4, 5, 6, -1, -1]);
  store.close();
  const exact = PackedStore.open(path, { maxLength: 3 });
  strictEqual(exact.truncated, 0);
  exact.close();
});

test('reading into a view of a larger buffer keeps to the view', () => {
  const store = PackedStore.open(written(), { maxLength: 100 });
  const whole = new Float32Array(6).fill(-1);
  store.read(0, whole.subarray(2, 5), 1);
  deepStrictEqual([...whole], [-1, -1, -1, 1, 2, -1]);
  store.close();
});

test('says where the rows lie for an engine that maps the file', () => {
  const store = PackedStore.open(written(), { maxLength: 100 });
  const { dataStart, rowOffsets, dtype } = store.file;
  strictEqual(store.file.path, path);
  strictEqual(dtype, 'float32');
  strictEqual(dataStart % 64, 0);
  deepStrictEqual([...rowOffsets], [0, 1, 4, 5]);
  strictEqual(readFileSync(path).readFloatLE(dataStart + rowOffsets[1] * 2 * 4), 3);
  store.close();
});

test('reads outside the store or the buffer, and after close, are refused', () => {
  const store = PackedStore.open(written(), { maxLength: 100 });
  const out = new Float32Array(6);
  for (const [index, at] of [
    [3, 0],
    [-1, 0],
    [1, 1],
    [0, -1],
  ]) {
    assertThrowsCode(() => store.read(index, out, at), 'RELIC_BATCH_INVALID', /an index below 3/);
  }
  store.close();
  store.close();
  assertThrowsCode(() => store.read(0, out, 0), 'RELIC_STORE_INVALID', /closed/);
});

test('a file that shrinks while it is open is an error, not zeros', () => {
  const store = PackedStore.open(written(), { maxLength: 100 });
  truncateSync(path, store.file.dataStart + 4);
  assertThrowsCode(() => store.read(1, new Float32Array(6), 0), 'RELIC_STORE_INVALID', /the end of the file/);
  store.close();
});

test('a missing file and a directory are errors', () => {
  const open = (name: string) => () => PackedStore.open(join(dir, name), { maxLength: 1 });
  assertThrowsCode(open('nowhere'), 'RELIC_STORE_INVALID', /nowhere.*ENOENT.*relic-train pack/s);
  assertThrowsCode(open('.'), 'RELIC_STORE_INVALID', /not a regular file/);
});

test.run();
