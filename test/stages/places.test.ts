import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stagePlaces, timestamp } from '../../src/stages/places.ts';
import { inProject } from './project.ts';

const test = suite('places');

test('the stages of the mode, with their run ids and directories', () =>
  inProject((project) => {
    const places = stagePlaces(project.load('run_config.eval_run_id=null').config, new Date(2026, 0, 2, 3, 4, 5));
    assert.equal([...places.keys()], ['pretrain', 'finetune', 'evaluate']);
    assert.equal(places.get('finetune'), {
      stage: 'finetune',
      runId: 'f',
      logDir: 'logs/v3/finetune/f',
      modelDir: 'models/v3/finetune/f',
    });
    assert.is(places.get('evaluate')?.logDir, 'logs/v3/evaluate/20260102_030405');
    const trainOnly = project.load('run_config.mode=train_only').config;
    assert.equal([...stagePlaces(trainOnly, new Date()).keys()], ['pretrain']);
  }));

test('a timestamp is local time', () => {
  assert.is(timestamp(new Date(2026, 11, 31, 23, 59, 1)), '20261231_235901');
});

test.run();
