import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CheckpointTimer } from '../../src/stages/checkpoint-timer.ts';
import type { CheckpointMoment } from '../../src/train/state.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('checkpoint timer');
/** Two epochs of four steps. */
const MOMENTS = 'step step step step epoch step step step step end'.split(' ') as CheckpointMoment[];

function due(every: string, secondsPerStep = 0): string {
  let now = 0;
  const timer = new CheckpointTimer(every, () => now);
  return MOMENTS.map((moment) => {
    if (moment === 'step') now += 1000 * secondsPerStep;
    return timer.isDue(moment) ? moment : '-';
  }).join(' ');
}

test('counts steps through the epochs', () => {
  assert.is(due('1 step'), 'step step step step - step step step step end');
  assert.is(due('3 steps'), '- - step - - - step - - end');
});

test('counts epochs', () => {
  assert.is(due('1 epoch'), '- - - - epoch - - - - end');
  assert.is(due('2 epochs'), '- - - - - - - - - end');
});

test('counts seconds, minutes and hours since the last one', () => {
  assert.is(due('30 seconds', 15), '- step - step - - step - step end');
  assert.is(due('1 minute', 25), '- - step - - - step - - end');
  assert.is(due('2  hours', 3600), '- step - step - - step - step end');
  assert.is(due('10 minutes', 1), '- - - - - - - - - end');
});

test('a request to stop is always due', () => {
  const timer = new CheckpointTimer('500 steps');
  assert.equal([timer.isDue('step'), timer.isDue('interruption')], [false, true]);
});

test('another form is refused', () => {
  for (const every of ['', '500', 'step', '0 steps', '5 days', '-1 step', '1.5 hours']) {
    assertThrowsCode(() => new CheckpointTimer(every), 'RELIC_CONFIG_INVALID', /checkpoint_every/);
  }
});

test.run();
