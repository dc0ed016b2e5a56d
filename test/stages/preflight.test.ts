import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkedProgram, effectiveRanks, refuseSeveralProcesses } from '../../src/stages/preflight.ts';
import { assertThrowsCode } from '../assert.ts';
import { inProject } from './project.ts';

const test = suite('preflight');

test('one process passes, more are refused', () => {
  refuseSeveralProcesses(1);
  assertThrowsCode(() => refuseSeveralProcesses(4), 'RELIC_RANKS', /received 4 processes/);
});

test('a prefix that matches no parameter is found before any data', () =>
  inProject((project) => {
    assert.is(checkedProgram(project.load()).name, 'v3');
    const loaded = project.load(
      'training_config.strategy.type=staged_unfreeze',
      'training_config.strategy.initial_trainable_prefixes=[head]',
    );
    assertThrowsCode(() => checkedProgram(loaded), 'RELIC_CONFIG_INVALID', /initial_trainable_prefixes/);
  }));

test("eval_only's checkpoint is checked before any data", () =>
  inProject((project) => {
    const only = (path: string) => project.load('run_config.mode=eval_only', `run_config.load_checkpoint_path=${path}`);
    assertThrowsCode(() => checkedProgram(only('none.pth')), 'RELIC_CHECKPOINT_NOT_FOUND', /none\.pth/);
    project.write('text.pth', 'no checkpoint');
    assertThrowsCode(() => checkedProgram(only('text.pth')), 'RELIC_CHECKPOINT_INVALID');
  }));

test('ranks are simulated only where data-parallel training is on', () =>
  inProject((project) => {
    assert.is(effectiveRanks(project.load(), 2), 1);
    assert.is(effectiveRanks(project.load('device_config.ddp_enabled=true'), 2), 2);
    assert.is(effectiveRanks(project.load('device_config.ddp_enabled=true'), undefined), 1);
  }));

test.run();
