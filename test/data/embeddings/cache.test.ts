import { deepStrictEqual, match, notStrictEqual, strictEqual } from 'node:assert';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePth } from '../../../src/artifacts/checkpoint/pth.ts';
import type { DType, TensorData } from '../../../src/artifacts/checkpoint/tensors.ts';
import { CacheSource } from '../../../src/data/embeddings/cache.ts';
import { assertThrowsCode } from '../../assert.ts';

const test = suite('cache');
let dir = '';
test.before.each(() => {
  dir = mkdtempSync(join(tmpdir(), 'relic-'));
  mkdirSync(join(dir, 'embeddings'));
});
test.after.each(() => rmSync(dir, { recursive: true }));

const METADATA = {
  schema_version: 1,
  source: 'esm3',
  model_name: 'esm3_sm_open_v1',
  input_dim: 2,
  max_sequence_length: 8,
  format: 'torch_pt_per_protein',
};

function tensorFile(id: string, shape: number[], data: TensorData, dtype: DType = 'float32'): void {
  writePth(join(dir, 'embeddings', `${id}.pt`), [{ name: 'embedding', shape, dtype, data }]);
}

function index(...ids: string[]): void {
  const entries = Object.fromEntries(ids.map((id) => [id, `embeddings/${id}.pt`]));
  writeFileSync(join(dir, 'index.json'), JSON.stringify(entries));
  writeFileSync(join(dir, 'metadata.json'), JSON.stringify(METADATA));
}

const open = (dim = 2) => new CacheSource({ dir, dim });

test('reads one protein at a time with its true length', () => {
  tensorFile('P1', [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
  tensorFile('P2', [1, 2], Float32Array.of(7, 8));
  index('P1', 'P2');
  const source = open();
  deepStrictEqual([...source.rows('P1')], [1, 2, 3, 4, 5, 6]);
  deepStrictEqual([source.length('P1'), source.length('P2')], [3, 1]);
  deepStrictEqual(
    ['P1', 'P9', 'toString'].map((id) => source.has(id)),
    [true, false, false],
  );
  assertThrowsCode(() => source.rows('P9'), 'RELIC_EMBEDDING_MISSING', /"P9"/);
  match(source.describe(), /2 proteins of esm3 \(esm3_sm_open_v1\), width 2, at most 8 residues/);
});

test('a leading dimension of 1 is squeezed', () => {
  tensorFile('P1', [1, 2, 2], Float32Array.of(1, 2, 3, 4));
  index('P1');
  strictEqual(open().length('P1'), 2);
});

test('16-bit and double tensors become float32', () => {
  tensorFile('P1', [1, 2], Uint16Array.of(0x3c00, 0xc100), 'float16');
  tensorFile('P2', [1, 2], Uint16Array.of(0x3f80, 0xc020), 'bfloat16');
  tensorFile('P3', [1, 2], Float64Array.of(1, -2.5), 'float64');
  index('P1', 'P2', 'P3');
  for (const id of ['P1', 'P2', 'P3']) deepStrictEqual(open().rows(id), Float32Array.of(1, -2.5));
});

test('reads a tensor that PyTorch saved', () => {
  // torch.save(torch.tensor([[[1, -2.5], [0.5, 3], [65504, 0]]], dtype=torch.float16), path), torch 2.13.0
  copyFileSync(new URL('../../fixtures/embedding_p1.pt', import.meta.url), join(dir, 'embeddings', 'P1.pt'));
  index('P1');
  deepStrictEqual([...open().rows('P1')], [1, -2.5, 0.5, 3, 65504, 0]);
});

test('tensors of another width, rank or type are refused with protein, file and shape', () => {
  tensorFile('wide', [2, 3], new Float32Array(6));
  tensorFile('flat', [4], new Float32Array(4));
  tensorFile('two', [2, 1, 2], new Float32Array(4));
  tensorFile('none', [0, 2], new Float32Array(0));
  tensorFile('whole', [1, 2], Int32Array.of(1, 2), 'int32');
  index('wide', 'flat', 'two', 'none', 'whole');
  const source = open();
  for (const [id, received] of [
    ['wide', 'float32 \\[2, 3\\]'],
    ['flat', 'float32 \\[4\\]'],
    ['two', 'float32 \\[2, 1, 2\\]'],
    ['none', 'float32 \\[0, 2\\]'],
    ['whole', 'int32 \\[1, 2\\]'],
  ]) {
    const text = new RegExp(`${id}\\.pt: .*"${id}".*\\[L, 2\\].*received ${received}`);
    assertThrowsCode(() => source.rows(id), 'RELIC_EMBEDDING_INVALID', text);
  }
});

test('NaN and values beyond float32 are refused with protein, file, row and column', () => {
  tensorFile('P1', [2, 2], Float32Array.of(1, 2, 3, Number.NaN));
  tensorFile('P2', [1, 2], Float64Array.of(1e300, 0), 'float64');
  index('P1', 'P2');
  assertThrowsCode(() => open().rows('P1'), 'RELIC_EMBEDDING_INVALID', /P1\.pt: .*"P1".*NaN in row 1, column 1/);
  assertThrowsCode(() => open().rows('P2'), 'RELIC_EMBEDDING_INVALID', /P2\.pt: .*Infinity in row 0, column 0/);
});

test('missing, damaged and hostile files are refused with protein and file', () => {
  index('gone', 'junk', 'evil');
  writeFileSync(join(dir, 'embeddings', 'junk.pt'), 'not a tensor');
  // cos\nsystem: what a pickle that runs a command begins with.
  writeFileSync(
    join(dir, 'embeddings', 'evil.pt'),
    Buffer.from('\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.', 'latin1'),
  );
  const source = open();
  assertThrowsCode(() => source.rows('gone'), 'RELIC_EMBEDDING_INVALID', /gone\.pt: .*"gone".*ENOENT/);
  assertThrowsCode(() => source.length('junk'), 'RELIC_EMBEDDING_INVALID', /junk\.pt: .*"junk"/);
  assertThrowsCode(() => source.rows('evil'), 'RELIC_CHECKPOINT_UNSAFE', /evil\.pt: .*"evil"/);
});

test('a file of several tensors is refused', () => {
  const tensor = { shape: [1, 2], dtype: 'float32' as const, data: new Float32Array(2) };
  writePth(join(dir, 'embeddings', 'P1.pt'), [
    { ...tensor, name: 'a' },
    { ...tensor, name: 'b' },
  ]);
  index('P1');
  assertThrowsCode(() => open().rows('P1'), 'RELIC_EMBEDDING_INVALID', /one tensor.*received 2 tensors/);
});

test('the fingerprint follows the index, the metadata and the files', () => {
  tensorFile('P1', [1, 2], Float32Array.of(1, 2));
  tensorFile('P2', [1, 2], Float32Array.of(1, 2));
  index('P1');
  const before = open().fingerprint;
  strictEqual(open().fingerprint, before);
  index('P1', 'P2');
  const withTwo = open().fingerprint;
  notStrictEqual(withTwo, before);
  utimesSync(join(dir, 'embeddings', 'P2.pt'), 1, 1);
  const touched = open().fingerprint;
  notStrictEqual(touched, withTwo);
  writeFileSync(join(dir, 'metadata.json'), JSON.stringify({ ...METADATA, model_name: 'other' }));
  notStrictEqual(open().fingerprint, touched);
});

test.run();
