import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCheckpoint } from '../../src/artifacts/checkpoint/load.ts';
import { readSafetensors } from '../../src/artifacts/checkpoint/safetensors.ts';
import { openLast } from '../../src/stages/last-checkpoint.ts';
import { placeOf } from '../../src/stages/places.ts';
import { checkedProgram } from '../../src/stages/preflight.ts';
import type { Progress } from '../../src/stages/stage.ts';
import { assertRejectsCode, assertThrowsCode } from '../assert.ts';
import { inProject, type TinyProject } from './project.ts';

const test = suite('last checkpoint');
const PLACE = placeOf('v3', 'pretrain', 'p');
const LAST = 'models/v3/pretrain/p/last';

/** Stops after step 3 of the second of two epochs. */
async function stopped(project: TinyProject, ...set: string[]): Promise<{ settingsHash: string; dataHash: string }> {
  const controller = new AbortController();
  const onProgress = ({ epoch, step }: Progress) => void (epoch === 2 && step === 3 && controller.abort());
  await assertRejectsCode(project.runHere(set, { onProgress, signal: controller.signal }), 'RELIC_INTERRUPTED');
  return JSON.parse(project.read(LAST, 'training.json')).mark;
}

test('it has weights, moments, the state of the training, and the best weights', () =>
  inProject(async (project) => {
    const mark = await stopped(project);
    assert.equal(readdirSync(LAST).sort(), [
      'best_model.pth',
      'manifest.json',
      'model.pth',
      'optimizer.safetensors',
      'training.json',
    ]);
    assert.equal(readFileSync(`${LAST}/best_model.pth`), readFileSync('models/v3/pretrain/p/best_model.pth'));
    const last = openLast(PLACE, mark)!;
    assert.equal(
      [last.path, last.fallback, last.csvRows, last.state.epoch, last.state.step],
      [LAST, undefined, 1, 1, 3],
    );
    assert.equal([last.state.dropoutStep, last.state.scheduleStep, last.state.finished], [7, 7, false]);
    assert.is(last.state.order.words.length, 624);
    assert.equal(last.written, ['logs/v3/pretrain/p/training_step.csv', 'models/v3/pretrain/p/best_model.pth']);

    const program = checkedProgram(project.load());
    const weights = last.weights(program);
    assert.equal([...weights.keys()], program.stateNames);
    const moments = last.optimizer('adamw');
    assert.equal([...moments.keys()], program.stateNames);
    for (const { steps, first, second } of moments.values()) {
      assert.equal([steps, second.length], [7, first.length]);
      assert.ok(second.every((value) => value >= 0));
    }
  }));

test("weights and moments are files that PyTorch's users know", () =>
  inProject(async (project) => {
    await stopped(project);
    const name = 'output_head.layers.0.weight';
    assert.ok(readCheckpoint(`${LAST}/model.pth`).has(name));
    const { tensors } = readSafetensors(`${LAST}/optimizer.safetensors`);
    assert.equal(tensors.get(`${name}.exp_avg`)?.shape, [4, 8]);
    assert.equal(tensors.get(`${name}.exp_avg_sq`)?.shape, [4, 8]);
    assert.equal(tensors.get(`${name}.step`)?.data, BigInt64Array.of(7n));
  }));

test('SGD has one moment', () =>
  inProject(async (project) => {
    const mark = await stopped(project, 'training_config.optimizer.type=sgd');
    const moments = openLast(PLACE, mark)!.optimizer('sgd').get('output_head.layers.0.weight');
    assert.equal([moments?.steps, moments?.first.length, moments?.second.length], [7, 32, 0]);
  }));

test('where there is none, there is none; one of another run is refused by what differs', () =>
  inProject(async (project) => {
    const mark = await stopped(project);
    assert.is(openLast(placeOf('v3', 'finetune', 'f'), mark), undefined);
    const { problems } = assertThrowsCode(
      () => openLast(PLACE, { settingsHash: 'a', dataHash: 'b' }),
      'RELIC_CHECKPOINT_MISMATCH',
      /pretrain\/p\/last: the checkpoint is of another run/,
    );
    assert.equal(
      problems.map(({ where }) => where),
      ['settings', 'pairs or embeddings'],
    );
    // A copy from another stage or run id is as foreign.
    const other = { ...PLACE, runId: 'q' };
    assertThrowsCode(() => openLast(other, mark), 'RELIC_CHECKPOINT_MISMATCH', /run id: expected q, received p/);
  }));

test.run();
