import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { constantSchedule, oneCycle } from '../../src/train/schedule.ts';
import { assertClose } from '../assert.ts';
import { goldenVectors } from '../golden.ts';

const test = suite('schedule');

interface Case {
  readonly schedule: { max_lr: number; pct_start: number; div_factor: number; final_div_factor: number };
  readonly epochs: number;
  readonly steps_per_epoch: number;
}

for (const anneal of ['cos', 'linear'] as const) {
  test(`oneCycle gives torch's learning rates: ${anneal}`, () => {
    const { tensors, case: description } = goldenVectors<Case>(`train_onecycle_${anneal}`);
    const used = tensors.get('lr_used')?.data as Float64Array;
    const { max_lr, pct_start, div_factor, final_div_factor } = description.schedule;
    const schedule = oneCycle({
      maxLr: max_lr,
      totalSteps: used.length,
      pctStart: pct_start,
      divFactor: div_factor,
      finalDivFactor: final_div_factor,
      anneal,
    });
    const ours = Array.from(used, (_, step) => schedule.at(step).lr);
    assertClose(ours, used, { rel: 1e-12, abs: 1e-16, what: 'lr_used' });
  });
}

const small = { maxLr: 1, totalSteps: 10, pctStart: 0.3, divFactor: 25, finalDivFactor: 1e4 };

test('momentum falls to its base at the peak of the rate and rises again', () => {
  const schedule = oneCycle({ ...small, anneal: 'linear' });
  assertClose(
    [0, 1, 2, 9].map((step) => schedule.at(step).momentum),
    [0.95, 0.9, 0.85, 0.95],
    { abs: 1e-15 },
  );
  assertClose(schedule.at(2).lr, 1, { abs: 1e-15 });
});

test('the step past the end overshoots, below zero when linear', () => {
  assert.ok(oneCycle({ ...small, anneal: 'linear' }).at(10).lr < 0);
  const cos = oneCycle({ ...small, anneal: 'cos' });
  assert.ok(cos.at(10).lr > cos.at(9).lr * 10);
});

test('a rise of no length starts at the peak, where torch divides by zero', () => {
  const schedule = oneCycle({ ...small, pctStart: 0.1, anneal: 'cos' });
  assertClose(schedule.at(0).lr, 1, { abs: 1e-15 });
  assert.ok(schedule.at(1).lr < 1);
});

test('a cycle of one step is finite', () => {
  const { lr, momentum } = oneCycle({ ...small, totalSteps: 1, anneal: 'cos' }).at(0);
  assert.ok(Number.isFinite(lr) && Number.isFinite(momentum));
});

test('constantSchedule is constant', () => {
  assert.equal(constantSchedule(0.1, 0.9).at(1000), { lr: 0.1, momentum: 0.9 });
});

test.run();
