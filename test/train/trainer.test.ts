import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch, HardExamples, OptimizerState, Shard, ShardLoss, StepSettings } from '../../src/engine/engine.ts';
import { RelicError } from '../../src/errors.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { EarlyStopping } from '../../src/train/early-stopping.ts';
import type { Evaluation } from '../../src/train/evaluate.ts';
import type { TrainEvent } from '../../src/train/observer.ts';
import type { CheckpointMoment, TrainState } from '../../src/train/state.ts';
import { createStrategy } from '../../src/train/strategies/registry.ts';
import { isHeartbeat, type TrainOptions, train } from '../../src/train/trainer.ts';
import { assertClose, assertRejectsCode } from '../assert.ts';

const test = suite('trainer');
const OPTIMIZER = { type: 'adamw', beta2: 0.999, eps: 1e-8, weightDecay: 0 } as const;

/** Plays back losses and notes the calls. */
class ScriptedModel {
  readonly calls: string[] = [];
  readonly steps: { shards: readonly Shard[]; settings: StepSettings }[] = [];
  private readonly losses: (step: number) => ShardLoss[];

  constructor(losses: (step: number) => ShardLoss[]) {
    this.losses = losses;
  }

  setOptimizer(_: unknown, trainable: (name: string) => boolean, keepState: boolean): void {
    this.calls.push(`optimizer encoder=${trainable('encoder.x')} head=${trainable('output_head.x')} keep=${keepState}`);
  }

  loadOptimizerState(state: OptimizerState): void {
    this.calls.push(`moments of ${[...state.keys()]}`);
  }

  async trainStep(shards: readonly Shard[], settings: StepSettings): Promise<ShardLoss[]> {
    this.calls.push('step');
    this.steps.push({ shards, settings });
    return this.losses(this.steps.length);
  }
}

function batch(pairs: number): Batch {
  return { proteinA: new Int32Array(pairs), proteinB: new Int32Array(pairs), labels: new Float32Array(pairs) };
}

function evaluation(loss: number, auprc: number | null): Evaluation {
  const none = new Float32Array(0);
  return { labels: none, logits: none, probabilities: none, loss, metrics: new Map([['auprc', auprc]]) };
}

interface Script {
  readonly epochs?: number;
  readonly ranks?: number;
  readonly losses?: (step: number) => ShardLoss[];
  readonly values?: readonly (number | null)[];
  readonly options?: Partial<TrainOptions>;
}

/** Three steps an epoch, batches of 4, 4 and 2 pairs. */
function prepare({ epochs = 2, ranks = 1, losses, values = [0.5, 0.6, 0.7], options = {} }: Script) {
  const model = new ScriptedModel(
    losses ?? ((step) => Array.from({ length: ranks }, () => ({ lossSum: step, kept: 1 }))),
  );
  const events: TrainEvent[] = [];
  const order: number[] = [];
  let validated = 0;
  const generator = new TorchGenerator(1);
  const all: TrainOptions = {
    model,
    data: {
      steps: 3,
      generator,
      epoch: (epoch, firstStep = 0) => {
        order.push(epoch);
        generator.random32();
        return [4, 4, 2].slice(firstStep).map((pairs) => Array.from({ length: ranks }, () => batch(pairs)));
      },
      describePair: (_, index) => `P${index} and Q${index}`,
    },
    validate: async () => evaluation(0.1, values[validated++]),
    epochs,
    strategy: createStrategy({ type: 'none', unfreeze_epoch: 1, initial_trainable_prefixes: [] }, []),
    optimizer: OPTIMIZER,
    schedule: { at: (step) => ({ lr: step, momentum: -step }) },
    hardExamples: () => null,
    dropoutKeys: Array.from({ length: ranks }, (_, rank) => [rank, 7] as const),
    restartOnUnfreeze: false,
    lossOfRankZero: false,
    monitor: 'auprc',
    earlyStopping: new EarlyStopping('higher', 5),
    heartbeatEvery: 0,
    observer: (event) => events.push(event),
    clock: () => 1000 * validated,
    ...options,
  };
  return { model, events, order, generator, run: () => train(all) };
}

const brief = (events: readonly TrainEvent[]) =>
  events.map((event) => (event.type === 'step' && event.heartbeat ? 'heartbeat' : event.type)).join(' ');

test('tells of epochs, steps and results in order', async () => {
  const { events, order, run } = prepare({});
  await run();
  const epoch = 'epochStart heartbeat step heartbeat epochDone';
  assert.is(brief(events), `${epoch} ${epoch}`);
  assert.equal(order, [0, 1]);
  const [first, second] = events.filter((event) => event.type === 'epochDone');
  assert.equal([first.epoch, first.monitored, first.improved, first.seconds], [1, 0.5, true, 1]);
  assert.equal([second.epoch, second.monitored, second.improved], [2, 0.6, true]);
});

test('heartbeats: first, last and every N-th step', () => {
  const beats = (every: number) => [1, 2, 3, 4, 5, 6, 7].filter((step) => isHeartbeat(step, 7, every));
  assert.equal(beats(0), [1, 7]);
  assert.equal(beats(3), [1, 3, 6, 7]);
  assert.equal(beats(1), [1, 2, 3, 4, 5, 6, 7]);
});

test('a step uses the schedule before its move, the log shows it after', async () => {
  const { model, events, run } = prepare({});
  await run();
  assert.equal(
    model.steps.map(({ settings }) => settings.lr),
    [0, 1, 2, 3, 4, 5],
  );
  assert.equal(
    model.steps.map(({ settings }) => settings.momentum),
    [-0, -1, -2, -3, -4, -5],
  );
  assert.equal(
    events.flatMap((event) => (event.type === 'step' ? [event.lr] : [])),
    [1, 2, 3, 4, 5, 6],
  );
  assert.equal(
    events.flatMap((event) => (event.type === 'epochDone' ? [event.lr] : [])),
    [3, 6],
  );
});

test('dropout steps never repeat within a stage, and each rank has its own key', async () => {
  const { model, run } = prepare({ ranks: 2 });
  await run();
  assert.equal(
    model.steps.map(({ settings }) => settings.step),
    [0, 1, 2, 3, 4, 5],
  );
  assert.equal(
    model.steps[0].shards.map(({ dropoutKey }) => dropoutKey[0]),
    [0, 1],
  );
});

const twoRanks = (step: number): ShardLoss[] => [
  { lossSum: 4 * step, kept: 4 },
  { lossSum: 100, kept: 1 },
];

test('the train loss is the mean over the pairs of all ranks, or of rank 0 by batch', async () => {
  const over = async (lossOfRankZero: boolean) => {
    const { events, run } = prepare({ epochs: 1, ranks: 2, losses: twoRanks, options: { lossOfRankZero } });
    await run();
    return events.flatMap((event) => (event.type === 'epochDone' ? [event.trainLoss] : []))[0];
  };
  assertClose(await over(false), (4 + 8 + 12 + 300) / 15, { rel: 1e-12 });
  assertClose(await over(true), (1 + 2 + 3) / 3, { rel: 1e-12 });
});

test('the running loss starts again with each epoch', async () => {
  const { events, run } = prepare({});
  await run();
  assert.equal(
    events.flatMap((event) => (event.type === 'step' ? [event.runningLoss] : [])),
    [1, 1.5, 2, 4, 4.5, 5],
  );
});

test('hard examples are asked for by epoch', async () => {
  const hard: HardExamples = { keepRatio: 0.5, minKeep: 2 };
  const { model, run } = prepare({ options: { hardExamples: (epoch) => (epoch >= 1 ? hard : null) } });
  await run();
  assert.equal(
    model.steps.map(({ settings }) => settings.hardExamples),
    [null, null, null, hard, hard, hard],
  );
});

const UNFREEZE = { type: 'staged_unfreeze', unfreeze_epoch: 1, initial_trainable_prefixes: ['output_head'] } as const;
const unfreeze = () => createStrategy(UNFREEZE, ['encoder.x', 'output_head.x']);

test('unfreezing keeps moments and schedule', async () => {
  const { model, run } = prepare({ options: { strategy: unfreeze() } });
  await run();
  assert.equal(
    model.calls.join(', '),
    [
      'optimizer encoder=false head=true keep=false, step, step, step',
      'optimizer encoder=true head=true keep=true, step, step, step',
    ].join(', '),
  );
  assert.equal(
    model.steps.map(({ settings }) => settings.lr),
    [0, 1, 2, 3, 4, 5],
  );
});

test('unfreezing restarts both under compat, but not the dropout', async () => {
  const { model, run } = prepare({ options: { strategy: unfreeze(), restartOnUnfreeze: true } });
  await run();
  assert.is(model.calls[4], 'optimizer encoder=true head=true keep=false');
  assert.equal(
    model.steps.map(({ settings }) => settings.lr),
    [0, 1, 2, 0, 1, 2],
  );
  assert.equal(
    model.steps.map(({ settings }) => settings.step),
    [0, 1, 2, 3, 4, 5],
  );
});

test('early stopping ends training after its epoch is told', async () => {
  const { events, run } = prepare({
    epochs: 9,
    values: [0.5, 0.4],
    options: { earlyStopping: new EarlyStopping('higher', 1) },
  });
  await run();
  assert.is(brief(events.slice(-2)), 'epochDone earlyStop');
  assert.equal(events.at(-1), { type: 'earlyStop', epoch: 2 });
});

test('an undefined metric does not improve', async () => {
  const { events, run } = prepare({ epochs: 1, values: [null] });
  await run();
  const done = events.find((event) => event.type === 'epochDone');
  assert.ok(done !== undefined && Number.isNaN(done.monitored) && !done.improved);
});

test('loss can be monitored', async () => {
  const { events, run } = prepare({
    epochs: 1,
    options: { monitor: 'loss', earlyStopping: new EarlyStopping('lower', 5) },
  });
  await run();
  const done = events.find((event) => event.type === 'epochDone');
  assert.equal([done?.monitored, done?.improved], [0.1, true]);
});

test('a loss that is not finite names epoch, step and pairs', async () => {
  const losses = (step: number): ShardLoss[] => {
    if (step === 5) throw new RelicError('RELIC_NOT_FINITE', 'the loss is NaN');
    return [{ lossSum: 1, kept: 1 }];
  };
  const error = await assertRejectsCode(
    prepare({ losses }).run(),
    'RELIC_NOT_FINITE',
    /epoch 2 step 2: the loss is NaN/,
  );
  assert.match(error.message, /P3 and Q3/);
});

test('other failures pass unchanged', async () => {
  const failure = new Error('disk');
  const losses = () => {
    throw failure;
  };
  try {
    await prepare({ losses }).run();
    assert.unreachable();
  } catch (error) {
    assert.is(error, failure);
  }
});

test('a request to stop is heard between steps and told', async () => {
  const controller = new AbortController();
  const losses = (step: number): ShardLoss[] => {
    if (step === 5) controller.abort();
    return [{ lossSum: 1, kept: 1 }];
  };
  const { events, model, run } = prepare({ losses, options: { signal: controller.signal } });
  await assertRejectsCode(run(), 'RELIC_INTERRUPTED');
  assert.is(model.steps.length, 5);
  assert.equal(events.at(-1), { type: 'interrupted', epoch: 2, step: 2 });
});

test('the reason of a request to stop is what is thrown', async () => {
  const signal = AbortSignal.abort(new RelicError('RELIC_PREEMPTED', 'stopped'));
  await assertRejectsCode(prepare({ options: { signal } }).run(), 'RELIC_PREEMPTED');
});

/** Mining, unfreezing with a restarted schedule, and early stopping after three of four epochs. */
const eventful = (options: Partial<TrainOptions> = {}): Script => ({
  epochs: 4,
  values: [0.5, 0.6, 0.4, 0.3],
  losses: (step) => [{ lossSum: step / 3, kept: 1 }],
  options: {
    strategy: createStrategy(
      { type: 'staged_unfreeze', unfreeze_epoch: 1, initial_trainable_prefixes: ['output_head'] },
      ['encoder.x', 'output_head.x'],
    ),
    restartOnUnfreeze: true,
    hardExamples: (epoch) => (epoch < 1 ? null : { keepRatio: 0.5, minKeep: epoch }),
    earlyStopping: new EarlyStopping('higher', 1),
    heartbeatEvery: 1,
    ...options,
  },
});

interface Saved {
  readonly moment: CheckpointMoment;
  readonly state: TrainState;
  /** Steps and events until then. */
  readonly steps: number;
  readonly events: number;
}

test('from every checkpoint the rest of the training is the same', async () => {
  const saved: Saved[] = [];
  const whole = prepare(
    eventful({
      onCheckpoint: (moment, state) =>
        saved.push({ moment, state: state(), steps: whole.model.steps.length, events: whole.events.length }),
    }),
  );
  await whole.run();
  assert.equal(
    saved.map(({ moment }) => moment).join(' '),
    'step step step epoch step step step epoch step step step end',
  );
  for (const { state, steps, events } of saved) {
    const left = prepare({
      ...eventful({ resume: { state, optimizer: new Map() } }),
      values: [0.5, 0.6, 0.4, 0.3].slice(state.epoch),
      losses: (step) => [{ lossSum: (steps + step) / 3, kept: 1 }],
    });
    await left.run();
    const where = `epoch ${state.epoch} step ${state.step}`;
    assert.equal(left.model.steps, whole.model.steps.slice(steps), where);
    const told = left.events.filter(({ type }) => type !== 'resumed');
    const timeless = (list: readonly TrainEvent[]) => list.map((event) => ({ ...event, seconds: 0 }));
    assert.equal(timeless(told), timeless(whole.events.slice(events)), where);
    if (state.finished) assert.equal(told, [], where);
    else assert.equal(left.generator.position(), whole.generator.position(), where);
  }
});

test('a resumed training sets the optimizer as it was, and says where it goes on', async () => {
  let state: TrainState | undefined;
  const first = prepare(eventful({ onCheckpoint: (_, now) => (state = now().epoch === 1 ? now() : state) }));
  await first.run();
  assert.is(state?.step, 3);
  const optimizer: OptimizerState = new Map([
    ['output_head.x', { steps: 6, first: new Float32Array(1), second: new Float32Array(1) }],
  ]);
  const second = prepare(eventful({ resume: { state: state!, optimizer } }));
  await second.run();
  assert.equal(second.model.calls.slice(0, 2), [
    'optimizer encoder=true head=true keep=false',
    'moments of output_head.x',
  ]);
  assert.equal(second.events[0], { type: 'resumed', epoch: 2, step: 3, steps: 3 });
});

test('the time of an epoch includes what it took before', async () => {
  let state: TrainState | undefined;
  let now = 0;
  const clock = () => (now += 1000);
  await prepare({
    epochs: 1,
    options: { clock, onCheckpoint: (moment, at) => (state ??= moment === 'step' ? at() : undefined) },
  }).run();
  assert.is(state?.seconds, 1);
  const { events, run } = prepare({
    epochs: 1,
    options: { clock: () => 5000, resume: { state: state!, optimizer: new Map() } },
  });
  await run();
  assert.is(events.find((event) => event.type === 'epochDone')?.seconds, 1);
});

test('a request to stop is a checkpoint, also in the validation', async () => {
  const stopped = async (options: Partial<TrainOptions>, at: (moment: CheckpointMoment, state: TrainState) => void) => {
    const script = prepare({ options: { ...options, onCheckpoint: (moment, state) => at(moment, state()) } });
    await assertRejectsCode(script.run(), 'RELIC_INTERRUPTED');
    return script;
  };
  const controller = new AbortController();
  const seen: string[] = [];
  const note = (moment: CheckpointMoment, { epoch, step }: TrainState) => {
    seen.push(`${moment} ${epoch}.${step}`);
    if (seen.length === 5) controller.abort();
  };
  const { events } = await stopped({ signal: controller.signal }, note);
  assert.equal(seen, ['step 0.1', 'step 0.2', 'step 0.3', 'epoch 1.0', 'step 1.1', 'interruption 1.1']);
  assert.equal(events.at(-1), { type: 'interrupted', epoch: 2, step: 1 });

  const inValidation: string[] = [];
  const validate = async () => {
    throw new RelicError('RELIC_INTERRUPTED', 'stopped');
  };
  await stopped({ validate }, (moment, { epoch, step }) => inValidation.push(`${moment} ${epoch}.${step}`));
  assert.is(inValidation.at(-1), 'interruption 0.3');
});

test('a failure is no checkpoint', async () => {
  const seen: CheckpointMoment[] = [];
  const losses = () => {
    throw new RelicError('RELIC_NOT_FINITE', 'loss');
  };
  await assertRejectsCode(
    prepare({ losses, options: { onCheckpoint: (moment) => seen.push(moment) } }).run(),
    'RELIC_NOT_FINITE',
  );
  assert.equal(seen, []);
});

test.run();
