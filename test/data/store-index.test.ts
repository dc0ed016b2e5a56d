import { deepStrictEqual } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePackedStore } from '../../src/artifacts/packed-store.ts';
import { openStore } from '../../src/data/store-index.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('store-index');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true }));

const path = join(dir, 'store.safetensors');
const good = store();
const headerLength = Number(good.readBigUInt64LE(0));
const header = good.toString('utf8', 8, 8 + headerLength);
const offsetsAt = 8 + headerLength + JSON.parse(header).offsets.data_offsets[0];

function store(): Buffer {
  const lengths: Record<string, number> = { P1: 2, P2: 1, P3: 3 };
  writePackedStore(path, {
    dim: 4,
    dtype: 'float32',
    source: 'sequence',
    fingerprint: 'cafe',
    ids: Object.keys(lengths),
    lengthOf: (id) => lengths[id],
    rowsOf: (id) => new Float32Array(lengths[id] * 4).fill(1),
  });
  return readFileSync(path);
}

/** The store with its header text changed, in the same number of bytes. */
function reworded(from: string, to: string): Buffer {
  const bytes = Buffer.from(good);
  const text = header.replace(from, to).trimEnd().padEnd(headerLength);
  if (text.trimEnd() === header.trimEnd()) throw new Error(`the header has no ${from}`);
  bytes.write(text, 8);
  return bytes;
}

/** The store with bytes written at an offset. */
function patched(at: number, patch: Uint8Array): Buffer {
  const bytes = Buffer.from(good);
  bytes.set(patch, at);
  return bytes;
}

const int64 = (value: number) => new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
function refused(bytes: Uint8Array, text: RegExp) {
  writeFileSync(path, bytes);
  return assertThrowsCode(() => openStore(path), 'RELIC_STORE_INVALID', text);
}

test('reads what was written', () => {
  writeFileSync(path, good);
  const index = openStore(path);
  deepStrictEqual(index.ids, ['P1', 'P2', 'P3']);
  deepStrictEqual([...index.rowOffsets], [0, 2, 3, 6]);
  deepStrictEqual([index.dim, index.dtype, index.dataStart], [4, 'float32', 8 + headerLength]);
  index.close();
});

test('every cut of the file is refused, and so is a longer one', () => {
  for (let size = 0; size < good.length; size += 7) refused(good.subarray(0, size), /Not a usable packed.*delete the/s);
  refused(Buffer.concat([good, Buffer.of(0)]), /whole safetensors file/);
});

test('another format or version is refused and the fix says so', () => {
  refused(reworded('relic-train-embeddings', 'other'), /expected format relic-train-embeddings, received "other"/);
  refused(reworded('"version":"1"', '"version":"2"'), /expected version 1, received "2".*delete the file/s);
});

test('a damaged header is refused', () => {
  refused(patched(0, int64(2 ** 40)), /safetensors header of/);
  refused(patched(8, Buffer.from('[')), /not JSON/);
});

test('tensors that are missing or of another type or rank are refused', () => {
  refused(reworded('"ids"', '"idz"'), /a tensor ids, uint8 of rank 1, received none/);
  refused(reworded('"F32"', '"I32"'), /embeddings, float32 or float16 or bfloat16 of rank 2, received int32/);
  refused(reworded('"I64"', '"F64"'), /offsets, int64 of rank 1/);
  refused(reworded('[6,4]', '[24]'), /embeddings, .*received float32 of rank 1/);
  refused(reworded('[6,4]', '[5,4]'), /whole safetensors file/);
});

test('rows that do not start aligned are refused', () => {
  const moved = Buffer.concat([int64(headerLength + 1), Buffer.from(`${header} `), good.subarray(8 + headerLength)]);
  refused(moved, /rows from a multiple of 64/);
});

test('offsets and ids that do not fit each other are refused', () => {
  refused(patched(offsetsAt, int64(1)), /offsets from 0 to 6/);
  refused(patched(offsetsAt + 24, int64(7)), /offsets from 0 to 6, received 0 to 7/);
  refused(patched(offsetsAt + 8, int64(3)), /growing offsets, received 3 then 3/);
  refused(patched(offsetsAt + 32 + 3, Buffer.from('P1')), /ids that differ/);
  refused(patched(offsetsAt + 32 + 2, Buffer.from('x')), /3 ids, received 2/);
});

test.run();
