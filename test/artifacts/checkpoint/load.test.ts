import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assertFinite, matchState, readCheckpoint } from '../../../src/artifacts/checkpoint/load.ts';
import { writePth } from '../../../src/artifacts/checkpoint/pth.ts';
import { writeSafetensors } from '../../../src/artifacts/checkpoint/safetensors.ts';
import { float32ToBfloat16, float32ToFloat16, type NamedTensor } from '../../../src/artifacts/checkpoint/tensors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { goldenDir } from '../../golden.ts';
import { FIXTURES } from './hostile.ts';

const test = suite('checkpoint/load');
const vector = (name: string, shape = [1], data: NamedTensor['data'] = new Float32Array(1)): NamedTensor => ({
  name,
  shape,
  dtype: 'float32',
  data,
});
const state = (...tensors: NamedTensor[]) => new Map(tensors.map((tensor) => [tensor.name, tensor]));
let directory = '';
test.before(() => {
  directory = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after(() => rmSync(directory, { recursive: true }));

test('the format is told by content, whatever the name is', () => {
  const tensors = readCheckpoint(join(goldenDir(), 'vectors', 'best_model.pth'));
  assert.is(tensors.size, 57);
  const path = join(directory, 'misnamed.pth');
  writeSafetensors(path, tensors.values());
  assert.equal(readCheckpoint(path), tensors);
  writePth(join(directory, 'misnamed.safetensors'), tensors.values());
  assert.equal(readCheckpoint(join(directory, 'misnamed.safetensors')), tensors);
  copyFileSync(join(FIXTURES, 'legacy.pth'), path);
  assert.equal([...readCheckpoint(path).keys()], ['a', 'b']);
});

test('other files are refused in words', () => {
  const path = join(directory, 'text.pth');
  writeFileSync(path, 'version https://git-lfs.github.com/spec/v1\n');
  assertThrowsCode(() => readCheckpoint(path), 'RELIC_CHECKPOINT_INVALID', /neither a PyTorch nor a safetensors/);
  writeFileSync(path, '');
  assertThrowsCode(() => readCheckpoint(path), 'RELIC_CHECKPOINT_INVALID', /empty/);
});

test('a missing file names checkpoints nearby', () => {
  const models = join(directory, 'models', 'finetune');
  mkdirSync(join(models, 'run_b'), { recursive: true });
  writeFileSync(join(models, 'run_b', 'best_model.pth'), '');
  writeFileSync(join(models, 'notes.txt'), '');
  const error = assertThrowsCode(
    () => readCheckpoint(join(models, 'run_a', 'best_model.pth')),
    'RELIC_CHECKPOINT_NOT_FOUND',
  );
  assert.match(error.message, /run_a\/best_model\.pth: checkpoint not found/);
  assert.match(error.message, `nearby there is ${join(models, 'run_b', 'best_model.pth')}`);
  mkdirSync(join(directory, 'none'));
  assertThrowsCode(
    () => readCheckpoint(join(directory, 'none', 'x.pth')),
    'RELIC_CHECKPOINT_NOT_FOUND',
    /no checkpoint is nearby/,
  );
});

test('"module." is taken away only where every name has it', () => {
  const names = readCheckpoint(join(FIXTURES, 'training.pth'));
  assert.equal(
    [...names],
    [...names.values()].map((tensor) => [tensor.name, tensor]),
  );
  assert.equal([...names.keys()], ['weight', 'bias']);
  const path = join(directory, 'mixed.pth');
  writePth(path, [vector('module.a'), vector('b')]);
  assert.equal([...readCheckpoint(path).keys()], ['module.a', 'b']);
});

test('a state that fits comes back in the order of the model', () => {
  const checkpoint = state(vector('b'), vector('a', []));
  const matched = matchState(
    checkpoint,
    [
      { name: 'a', shape: [] },
      { name: 'b', shape: [1] },
    ],
    'x.pth',
  );
  assert.equal(
    matched.map(({ name }) => name),
    ['a', 'b'],
  );
});

test('missing, unexpected and wrongly shaped tensors are listed at once', () => {
  const checkpoint = state(vector('head.wieght'), vector('tail', [2, 3]), vector('old.thing'));
  const expected = [
    { name: 'head.weight', shape: [1] },
    { name: 'tail', shape: [3, 2] },
    { name: 'absent', shape: [1] },
  ];
  const error = assertThrowsCode(
    () => matchState(checkpoint, expected, 'x.pth'),
    'RELIC_CHECKPOINT_MISMATCH',
    /^x\.pth:/,
  );
  assert.equal(error.problems, [
    { where: 'head.weight', message: 'missing (the file has head.wieght)' },
    { where: 'tail', message: 'expected shape [3,2], received [2,3]' },
    { where: 'absent', message: 'missing' },
    { where: 'head.wieght', message: 'not a part of the model' },
    { where: 'old.thing', message: 'not a part of the model' },
  ]);
});

test('values that are not finite are found in every float format', () => {
  const bad = Float32Array.of(1, 2, Number.NaN);
  const infinite = Float32Array.of(1, Number.POSITIVE_INFINITY);
  const cases: [NamedTensor['dtype'], NamedTensor['data'], number][] = [
    ['float32', bad, 2],
    ['float64', Float64Array.from(infinite), 1],
    ['float16', float32ToFloat16(infinite), 1],
    ['bfloat16', float32ToBfloat16(bad), 2],
  ];
  for (const [dtype, data, at] of cases) {
    const tensors = [vector('good'), { name: 'head.bias', shape: [data.length], dtype, data }];
    const message = new RegExp(`x\\.pth: tensor "head.bias".*element ${at} of ${data.length}`);
    assertThrowsCode(() => assertFinite(tensors, 'x.pth'), 'RELIC_CHECKPOINT_INVALID', message);
  }
  assertFinite([{ name: 'n', shape: [1], dtype: 'uint8', data: Uint8Array.of(255) }, vector('x')], 'x.pth');
});

test.run();
