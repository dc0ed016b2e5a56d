import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { EarlyStopping } from '../../src/train/early-stopping.ts';

const test = suite('early stopping');

function verdicts(better: 'higher' | 'lower', patience: number, values: readonly number[]): string {
  const stopping = new EarlyStopping(better, patience);
  return values
    .map((value) => {
      const { improved, stop } = stopping.update(value);
      return (improved ? '+' : '-') + (stop ? 'S' : '');
    })
    .join(' ');
}

test('only a strictly better value improves, and the first one does', () => {
  assert.is(verdicts('higher', 5, [0.5, 0.5, 0.6, 0.55]), '+ - + -');
});

test('a loss is minimised', () => {
  assert.is(verdicts('lower', 5, [0.5, 0.5, 0.4, 0.6]), '+ - + -');
});

test('it stops after as many misses as the patience, and an improvement starts the count again', () => {
  assert.is(verdicts('higher', 2, [0.5, 0.4, 0.6, 0.5, 0.5]), '+ - + - -S');
});

test('a patience of 0 or less stops after the first epoch', () => {
  assert.is(verdicts('higher', 0, [0.5]), '+S');
  assert.is(verdicts('higher', -3, [0.5]), '+S');
});

test('NaN never improves, first or later, and does not become the best', () => {
  assert.is(verdicts('higher', 3, [Number.NaN, 0.2, Number.NaN, 0.3]), '- + - +');
  assert.is(verdicts('lower', 3, [Number.NaN, 0.2, Number.NaN, 0.1]), '- + - +');
});

test('goes on from its state, which JSON can hold before the first value too', () => {
  for (const better of ['higher', 'lower'] as const) {
    const values = [Number.NaN, 0.5, 0.4, 0.6, 0.6];
    const whole = new EarlyStopping(better, 2);
    for (const [i, value] of values.entries()) {
      const later = new EarlyStopping(better, 2);
      later.restore(JSON.parse(JSON.stringify(whole.state())));
      assert.equal(later.update(value), whole.update(value), `${better} ${i}`);
    }
  }
});

test.run();
