// A process that uses the native engine and ends in the way its second argument says; the first is a JSON file with the
// path of the binary, an encoded program and its gradients. Plain JavaScript, so that nothing but the addon is tested.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const [, , file, mode] = process.argv;
const { binary, dim, program, gradients } = JSON.parse(readFileSync(file, 'utf8'));
const addon = { exports: {} };
process.dlopen(addon, binary);

const PROTEINS = 8;
const LENGTH = 400;
const settings = { step: 0, lr: 1e-3, momentum: 0.9, stop: false, hardExamples: false, keepRatio: 1, minKeep: 1 };
const batch = {
  proteinA: Int32Array.from({ length: PROTEINS }, (_, i) => i),
  proteinB: Int32Array.from({ length: PROTEINS }, (_, i) => PROTEINS - 1 - i),
  labels: new Float32Array(PROTEINS).fill(1),
};
const pair = { proteinA: Int32Array.of(0), proteinB: Int32Array.of(1), labels: Float32Array.of(1) };
const MODELS = 80;
const shards = [{ ...batch, key: Uint32Array.of(1, 2) }];

function createModel(length = LENGTH) {
  const lengths = new Int32Array(PROTEINS).fill(length);
  const store = { dim, lengths, rows: new Float32Array(PROTEINS * length * dim).fill(0.5) };
  const options = {
    program: Float64Array.from(program),
    store,
    threads: 2,
    isa: '',
    bf16: false,
    encoderCacheBytes: 2 ** 30,
  };
  const model = addon.exports.createModel(options);
  for (let i = 0; i < model.stateCount(); i++) model.writeState(i, new Float32Array(model.stateLength(i)).fill(0.1));
  model.setOptimizer({ type: 0, beta2: 0.999, eps: 1e-8, weightDecay: 0 }, Float64Array.from(gradients), false);
  return model;
}

const codeOf = (promise) =>
  promise.then(
    () => 'fulfilled',
    ({ code }) => code,
  );
const codeOfCall = (call) => {
  try {
    call();
    return 'returned';
  } catch ({ code }) {
    return code;
  }
};
const tell = (facts) => process.stdout.write(`${JSON.stringify(facts)}\n`);
const threads = () => Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);

const MODES = {
  async disposeWhileTraining() {
    const model = createModel();
    const running = codeOf(model.trainStep(shards, settings));
    model.dispose();
    model.dispose();
    const later = await codeOf(model.trainStep(shards, settings));
    tell({ running: await running, later, memory: model.memory() });
  },
  async disposeCancels() {
    const [long, short] = [createModel(), createModel()];
    const order = [];
    const many = Array.from({ length: 9 }, () => shards[0]);
    const cancelled = codeOf(long.trainStep(many, settings)).then(() => order.push('cancelled'));
    const finished = short.trainStep(many.slice(0, 3), settings).then(() => order.push('finished'));
    long.dispose();
    await Promise.all([cancelled, finished]);
    tell(order);
  },
  async disposeWhileEvaluating() {
    const model = createModel();
    const running = codeOf(model.evaluate(batch));
    await sleep(1);
    model.dispose();
    tell({ running: await running, memory: model.memory() });
  },
  async disposeWhileSaving() {
    const model = createModel();
    const out = new Float32Array(model.stateLength(0));
    const running = codeOf(model.trainStep(shards, settings));
    const during = codeOfCall(() => model.readState(0, out));
    const step = await running;
    const before = codeOfCall(() => model.readState(0, out));
    model.dispose();
    const later = [codeOfCall(() => model.readState(1, out)), codeOfCall(() => model.readGradient(0, out))];
    tell({ during, step, before, later });
  },
  async exitWhileTraining() {
    for (const model of [createModel(), createModel(), createModel()]) model.trainStep(shards, settings);
    await sleep(5);
    process.exit(7);
  },
  async exitWhileEvaluating() {
    createModel().evaluate(batch);
    await sleep(5);
    process.exit(7);
  },
  async exitAtOnce() {
    createModel().trainStep(shards, settings);
    process.exit(7);
  },
  async endWhileTraining() {
    createModel()
      .trainStep(shards, settings)
      .then(() => tell({ finished: true }));
  },
  async endWhileIdle() {
    await createModel().trainStep(shards, settings);
    createModel();
  },
  async throwWhileTraining() {
    createModel().trainStep(shards, settings);
    await sleep(5);
    throw new Error('on purpose');
  },
  async terminateWorker() {
    const worker = new Worker(new URL(import.meta.url), { argv: [file, 'trainInWorker'] });
    await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    await createModel().trainStep(shards, settings);
    tell({ alive: true });
  },
  async trainInWorker() {
    createModel();
    createModel().trainStep(shards, settings);
    parentPort.postMessage('training');
  },
  async exitWhileWorkerTrains() {
    const worker = new Worker(new URL(import.meta.url), { argv: [file, 'trainInWorker'] });
    await new Promise((resolve) => worker.once('message', resolve));
    createModel().trainStep(shards, settings);
    process.exit(7);
  },
  async throwInWorker() {
    const worker = new Worker(new URL(import.meta.url), { argv: [file, 'trainAndThrow'] });
    const error = await new Promise((resolve) => worker.once('error', resolve));
    await createModel().trainStep(shards, settings);
    tell({ error: error.message });
  },
  async trainAndThrow() {
    createModel().trainStep(shards, settings);
    throw new Error('on purpose');
  },
  async mainThreadStaysFree() {
    const model = createModel();
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    await model.trainStep(shards, settings);
    clearInterval(ticking);
    tell({ turns });
  },
  async garbage() {
    const counts = [];
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 8; i++) await createModel().evaluate(pair);
      for (let i = 0; i < 5; i++) {
        globalThis.gc();
        await sleep(10);
      }
      counts.push(threads());
    }
    tell(counts);
  },
  async manySteps() {
    const model = createModel(2);
    const counts = [];
    for (let step = 0; step < 10_000; step++) {
      await model.trainStep([{ ...pair, key: shards[0].key }], { ...settings, step });
      if (step === 2000 || step === 9999) {
        globalThis.gc();
        counts.push({ rss: process.memoryUsage.rss(), bytes: model.memory(), threads: threads() });
      }
    }
    tell(counts);
  },
  async pressure() {
    // Each model holds 16 MB that only the engine knows of; nobody asks for a collection.
    const lengths = new Int32Array(PROTEINS).fill(16_384);
    const store = { dim, lengths, rows: new Float32Array(PROTEINS * 16_384 * dim) };
    const before = threads();
    let most = 0;
    let bytes = 0;
    for (let i = 0; i < MODELS; i++) {
      bytes = addon.exports
        .createModel({
          program: Float64Array.from(program),
          store,
          threads: 1,
          isa: '',
          bf16: false,
          encoderCacheBytes: 2 ** 30,
        })
        .memory();
      await sleep(1);
      most = Math.max(most, threads() - before);
    }
    tell({ most, models: MODELS, bytes });
  },
};
if (!isMainThread && !['trainInWorker', 'trainAndThrow'].includes(mode)) throw new Error(`${mode} is not for a worker`);
await MODES[mode]();
