import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPth, readPthBytes, writePth } from '../../../src/artifacts/checkpoint/pth.ts';
import { bytesSource } from '../../../src/artifacts/checkpoint/source.ts';
import { float32ToBfloat16, type NamedTensor, toFloat32 } from '../../../src/artifacts/checkpoint/tensors.ts';
import { openZip } from '../../../src/artifacts/checkpoint/zip.ts';
import { RelicError } from '../../../src/errors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { goldenDir } from '../../golden.ts';
import { archive, FIXTURES, pickle, tensor, unicode } from './hostile.ts';

const test = suite('checkpoint/pth');
const fixture = (name: string) => readPth(join(FIXTURES, name)).tensors;
const golden = (name: string) => join(goldenDir(), 'vectors', name);
const values = (tensors: Map<string, NamedTensor>, name: string) => [...tensors.get(name)!.data];
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

test('a state dict by PyTorch, its version data read and ignored', () => {
  const { tensors, metadata } = readPth(golden('best_model.pth'));
  assert.is(tensors.size, 57);
  assert.is([...tensors.keys()][0], 'encoder.input_projection.weight');
  assert.equal(tensors.get('encoder.input_projection.weight')!.shape, [32, 24]);
  assert.is(tensors.get('output_head.layers.1.num_batches_tracked')!.dtype, 'int64');
  assert.equal(values(tensors, 'output_head.layers.1.num_batches_tracked'), [1n]);
  assert.equal(metadata, {});
});

test('every dtype', () => {
  const tensors = fixture('dtypes.pth');
  for (const [name, tensor] of tensors) if (name !== 'scalar' && name !== 'empty') assert.is(tensor.dtype, name);
  assert.equal(values(tensors, 'float64'), [1 / 3, -2.5, 1e300]);
  assert.equal([...toFloat32(tensors.get('float16')!)], [0.333251953125, 65504, 2 ** -24, -0]);
  assert.equal(tensors.get('bfloat16')!.data, float32ToBfloat16(Float32Array.of(1 / 3, 3e38, -1e-40)));
  assert.equal(values(tensors, 'int64'), [-(2n ** 62n) - 1n, 2n ** 53n + 1n]);
  assert.equal(tensors.get('int32')!.shape, [2, 1]);
  assert.equal(values(tensors, 'int32'), [-5, 2 ** 31 - 1]);
  assert.equal(values(tensors, 'int16'), [-300]);
  assert.equal(values(tensors, 'int8'), [-3]);
  assert.equal(values(tensors, 'uint8'), [0, 255]);
  assert.equal(values(tensors, 'bool'), [1, 0, 1]);
  assert.equal(tensors.get('scalar')!.shape, []);
  assert.equal(values(tensors, 'scalar'), [2.5]);
  assert.equal(tensors.get('empty')!.shape, [0, 3]);
  assert.equal(values(tensors, 'empty'), []);
});

test('views of one storage: transposed, sliced, stepped, expanded, offset', () => {
  const tensors = fixture('views.pth');
  const rows = (count: number, width: number, at: (i: number, j: number) => number) =>
    Array.from({ length: count * width }, (_, k) => at(Math.floor(k / width), k % width));
  assert.equal(tensors.get('transposed')!.shape, [6, 4]);
  assert.equal(
    values(tensors, 'transposed'),
    rows(6, 4, (i, j) => j * 6 + i),
  );
  assert.equal(
    values(tensors, 'slice'),
    rows(2, 3, (i, j) => (i + 1) * 6 + j + 2),
  );
  assert.equal(values(tensors, 'step'), [3, 8, 13, 18, 23]);
  assert.equal(values(tensors, 'expanded'), [1, 1, 1, 2, 2, 2]);
  assert.equal(
    values(tensors, 'tied'),
    rows(1, 21, (_, j) => j + 3),
  );
  assert.is(tensors.get('tied')!.data.buffer, tensors.get('row')!.data.buffer, 'contiguous views are not copied');
});

test('per-protein embeddings: a dict of tensors, a bare tensor, a parameter', () => {
  const embeddings = readPth(golden('embeddings.pt')).tensors;
  assert.equal([...embeddings.keys()], ['P12345', 'Q1']);
  assert.is(embeddings.get('Q1')!.dtype, 'bfloat16');
  const bare = fixture('bare.pt').get('')!;
  assert.equal(
    [bare.shape, [...bare.data]],
    [
      [1, 2, 3],
      [0, 1, 2, 3, 4, 5],
    ],
  );
  assert.equal([...fixture('parameter.pt').get('')!.data], [1, 2, 3, 4]);
});

test('a training checkpoint gives its model; pickle protocol 4 is read', () => {
  const tensors = fixture('training.pth');
  assert.equal([...tensors.keys()], ['module.weight', 'module.bias']);
  assert.equal(values(tensors, 'module.bias'), [3]);
  assert.equal(values(fixture('protocol4.pth'), 'w'), [1, 1]);
});

test('what is written is read back, metadata too, and is the same every time', () => {
  const path = join(directory, 'model.pth');
  const { tensors } = readPth(join(FIXTURES, 'dtypes.pth'));
  writePth(path, tensors.values(), { stage: 'pretrain' });
  const first = readFileSync(path);
  assert.equal(readPth(path), { tensors, metadata: { stage: 'pretrain' } });
  writePth(path, tensors.values(), { stage: 'pretrain' });
  assert.equal(readFileSync(path), first);
});

test('the archive is laid out as by PyTorch', () => {
  const path = join(directory, 'best_model.pth');
  writePth(path, readPth(join(FIXTURES, 'parameter.pt')).tensors.values());
  const bytes = readFileSync(path);
  const zip = openZip(bytesSource(bytes, path));
  const records = ['data.pkl', 'byteorder', 'data/0', 'version', '.data/serialization_id'];
  assert.equal(
    zip.names,
    records.map((record) => `best_model/${record}`),
  );
  assert.is(Buffer.from(zip.read('best_model/version')).toString(), '3\n');
  assert.match(Buffer.from(zip.read('best_model/.data/serialization_id')).toString(), /^\d{40}$/);
  assert.is(bytes.indexOf(Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)) % 64, 0);
});

test('a view with padding around it is written as its own elements alone', () => {
  const path = join(directory, 'view.pth');
  const data = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
  writePth(path, [{ name: 'w', shape: [2], dtype: 'float32', data }]);
  assert.equal(values(readPth(path).tensors, 'w'), [1, 2]);
});

test('hostile and damaged archives', () => {
  const view = pickle('}', unicode('w'), tensor(4, 0, [4], [1]), 's.');
  const four = new Uint8Array(16);
  assert.is(readPthBytes(archive(view, { 'data/0': four })).tensors.size, 1);
  const evil = archive(pickle('cos\nsystem\n', unicode('touch pwned'), '\x85R.'));
  assertThrowsCode(
    () => readPthBytes(evil, 'evil.pth'),
    'RELIC_CHECKPOINT_UNSAFE',
    /^evil\.pth, data\.pkl, byte 0.*os\.system/,
  );
  assertThrowsCode(() => readPthBytes(archive(view)), 'RELIC_CHECKPOINT_INVALID', /"a\/data\/0" is missing/);
  const short = archive(view, { 'data/0': new Uint8Array(12) });
  assertThrowsCode(() => readPthBytes(short), 'RELIC_CHECKPOINT_INVALID', /has 12 bytes, its tensors say 16/);
  const two = pickle('}(', unicode('v'), tensor(4, 0, [4], [1]), unicode('w'), tensor(5, 0, [4], [1]), 'u.');
  assertThrowsCode(() => readPthBytes(archive(two, { 'data/0': four })), 'RELIC_CHECKPOINT_INVALID', /two sizes/);
  const big = archive(view, { 'data/0': four, byteorder: Buffer.from('big') });
  assertThrowsCode(() => readPthBytes(big), 'RELIC_CHECKPOINT_UNSUPPORTED', /big-endian/);
  const script = archive(view, { 'data/0': four, 'constants.pkl': Buffer.from(').') });
  assertThrowsCode(() => readPthBytes(script), 'RELIC_CHECKPOINT_UNSUPPORTED', /TorchScript/);
  const extra = archive(view, { 'data/0': four, 'extra/relic.json': Buffer.from('{') });
  assertThrowsCode(() => readPthBytes(extra), 'RELIC_CHECKPOINT_INVALID', /not JSON/);
});

test('a small file cannot unfold to fill the memory', () => {
  const huge = pickle('}', unicode('w'), tensor(1, 0, [2 ** 20, 2 ** 20], [0, 0]), 's.');
  assertThrowsCode(
    () => readPthBytes(archive(huge, { 'data/0': new Uint8Array(4) })),
    'RELIC_CHECKPOINT_INVALID',
    /unfolds/,
  );
});

test('a file without tensors says what is wanted', () => {
  for (const root of ['].', 'K\x01.', '}K\x01K\x02s.', pickle('}', unicode('state_dict'), '}s.')])
    assertThrowsCode(() => readPthBytes(archive(pickle(root))), 'RELIC_CHECKPOINT_INVALID', /state_dict\(\)/);
  assert.is(readPthBytes(archive(pickle('}.'))).tensors.size, 0);
});

test('every kind of flipped byte throws nothing but RelicError', () => {
  for (const name of ['views.pth', 'dtypes.pth']) {
    const valid = readFileSync(join(FIXTURES, name));
    const change = fc.tuple(fc.nat({ max: valid.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const bytes = Buffer.from(valid);
        for (const [at, value] of changes) bytes[at] = value;
        try {
          readPthBytes(bytes);
        } catch (error) {
          assert.instance(error, RelicError);
        }
      }),
      { numRuns: 1000, seed: 4 },
    );
  }
});

test('a file on disk is closed after an error', () => {
  const path = join(directory, 'broken.pth');
  writeFileSync(path, 'PK\x03\x04 and nothing more');
  for (let i = 0; i < 2000; i++) assertThrowsCode(() => readPth(path), 'RELIC_CHECKPOINT_INVALID');
});

test.run();
