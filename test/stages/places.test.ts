import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { placeOf, stagePlaces, timestamp } from '../../src/stages/places.ts';
import { assertThrowsCode } from '../assert.ts';
import { inProject } from './project.ts';

const test = suite('places');

test('the stages of the mode, with their run ids and directories', () =>
  inProject((project) => {
    const places = stagePlaces(project.load('run_config.eval_run_id=null').config, 'job_7');
    assert.equal([...places.keys()], ['pretrain', 'finetune', 'evaluate']);
    assert.equal(places.get('finetune'), {
      stage: 'finetune',
      runId: 'f',
      logDir: 'logs/v3/finetune/f',
      modelDir: 'models/v3/finetune/f',
    });
    assert.is(places.get('evaluate')?.logDir, 'logs/v3/evaluate/job_7');
    const trainOnly = project.load('run_config.mode=train_only').config;
    assert.equal([...stagePlaces(trainOnly, 'x').keys()], ['pretrain']);
  }));

test('a run id that is no name of a directory is refused', () => {
  for (const id of ['a/b', '..', '']) assertThrowsCode(() => placeOf('v3', 'pretrain', id), 'RELIC_USAGE');
});

test('a timestamp is local time', () => {
  assert.is(timestamp(new Date(2026, 11, 31, 23, 59, 1)), '20261231_235901');
});

test.run();
