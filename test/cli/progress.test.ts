import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { duration, ProgressLine, progressText, wantsProgress } from '../../src/cli/progress.ts';
import type { Progress } from '../../src/stages/stage.ts';

const STATE: Progress = {
  stage: 'pretrain',
  epoch: 1,
  epochs: 2,
  step: 10,
  steps: 100,
  loss: 0.69312,
  pairsPerSecond: 123.4,
  etaSeconds: 75,
};
const CLEAR = '\r\u001b[K';

function terminal(columns?: number) {
  const written: string[] = [];
  return { isTTY: true, ...(columns && { columns }), written, write: (text: string) => void written.push(text) };
}

const test = suite('cli/progress');

test('says where training is, how fast and for how long', () => {
  const text = progressText(STATE);
  assert.is(text, 'pretrain epoch 1/2 | step 10/100 | loss 0.6931 | 123 pairs/s | ETA 1:15');
});

test('durations', () => {
  assert.equal([0, 59.6, 3599, 3661, Number.NaN].map(duration), ['0:00', '1:00', '59:59', '1:01:01', '-:--']);
});

test('is redrawn at most ten times a second, and at the end', () => {
  let now = 0;
  const screen = terminal();
  const line = new ProgressLine(screen, () => now);
  for (let step = 1; step <= 50; step++) {
    now += 10;
    line.update({ ...STATE, step });
  }
  assert.is(screen.written.length, 5);
  line.update({ ...STATE, epoch: 2, step: 100 });
  assert.is(screen.written.length, 6);
});

test('fits the terminal', () => {
  const screen = terminal(30);
  new ProgressLine(screen, () => 0).update(STATE);
  assert.is(screen.written[0], `${CLEAR}pretrain epoch 1/2 | step 10/`);
});

test('clear takes the line away once, and the next update draws at once', () => {
  const screen = terminal();
  const line = new ProgressLine(screen, () => 0);
  line.clear();
  assert.equal(screen.written, []);
  line.update(STATE);
  line.clear();
  line.clear();
  assert.is(screen.written.at(-1), CLEAR);
  assert.is(screen.written.length, 2);
  line.update(STATE);
  assert.is(screen.written.length, 3);
});

test('belongs on a terminal of one process alone', () => {
  assert.ok(wantsProgress(terminal(), false, 0));
  assert.not(wantsProgress({ write: () => {} }, false, 0));
  assert.not(wantsProgress(terminal(), true, 0));
  assert.not(wantsProgress(terminal(), false, 1));
});

test.run();
