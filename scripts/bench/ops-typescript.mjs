// Times ops of the TypeScript engine at the seed model's size and prints one JSON line: ops-typescript.mjs REPETITIONS.
import { layoutOf } from '../../dist/engine/layout.js';
import { implementationOf } from '../../dist/engine/typescript/ops/registry.js';
import { Runtime } from '../../dist/engine/typescript/runtime.js';
import { differentiate } from '../../dist/index.js';
import { ProgramBuilder } from '../../dist/model/builder.js';
import { fuse } from '../../dist/model/fuse.js';
import { median } from './trial.mjs';

const [PAIRS, LENGTH, WIDTH, HEADS, RATE] = [16, 32, 384, 12, 0.1];
const TOKENS = 2 * PAIRS * LENGTH;
const SCORES = TOKENS * LENGTH * HEADS;
const REPETITIONS = Number(process.argv[2] ?? 3);

const results = [...measured(program()), ...measured(fuse(program()))];
console.log(JSON.stringify({ results: [...new Map(results.map((each) => [each.name, each])).values()] }));

/** One of each op over tokens. */
function program() {
  const p = new ProgramBuilder('ops', WIDTH);
  p.normParameters('norm', WIDTH);
  p.linearParameters('packed', WIDTH, 3 * WIDTH);
  p.linearParameters('keyValue', WIDTH, 2 * WIDTH);
  p.linearParameters('leave', WIDTH, 1);
  p.parameter('query', [1, 1, WIDTH]);
  const linear = (x, name) => p.linear(x, `${name}.weight`, `${name}.bias`, name);
  const normed = p.layerNorm(p.gather(), 'norm');
  const activated = p.dropout(p.activation(normed, 'gelu', 'gelu'), RATE, 'first');
  const sum = p.add(normed, p.dropout(activated, RATE, 'second'), 'sum');
  const shape = { heads: HEADS, width: WIDTH, queryOffset: 0, p: RATE };
  const packed = linear(sum, 'packed');
  const self = { ...shape, segments: 'self', keyOffset: WIDTH, valueOffset: 2 * WIDTH };
  const mixed = p.attention(packed, packed, self, 'self');
  const pool = { ...shape, segments: 'pairToBoth', keyOffset: 0, valueOffset: WIDTH };
  const pooled = p.attention(p.expand('query', 'cls'), linear(mixed, 'keyValue'), pool, 'pool');
  return p.finish(linear(pooled, 'leave'), { posWeight: 1, labelSmoothing: 0 });
}

function measured(one) {
  const runtime = boundTo(one);
  const timed = [];
  for (const op of one.ops) {
    const forward = milliseconds(() => implementationOf(op).forward(op, runtime));
    timed.push([op, 'forward', forward]);
  }
  for (const backward of differentiate(one, () => true).ops) {
    const op = one.ops[backward.op];
    timed.push([op, 'backward', milliseconds(() => implementationOf(op).backward(op, backward, runtime))]);
  }
  return timed.flatMap(([op, pass, time]) => {
    const name = nameOf(op, pass);
    if (name === undefined) return [];
    const [shape, elements] =
      op.kind === 'attention'
        ? [`${2 * PAIRS}x${LENGTH}x${HEADS}x${WIDTH / HEADS}`, SCORES]
        : [`${TOKENS}x${WIDTH}`, TOKENS * WIDTH];
    return [{ name, shape, ns: (time * 1e6) / elements }];
  });
}

/** The name that bench_ops has for an op; undefined for those that it does not time. */
function nameOf(op, pass) {
  switch (op.kind) {
    case 'activation':
      return `gelu ${pass}`;
    case 'layerNorm':
    case 'activationDropout':
      return `${op.kind} ${pass}`;
    case 'dropoutAdd':
      return `dropoutAdd ${pass}`;
    case 'attention':
      return op.attributes.segments === 'self' ? `attention ${pass}` : undefined;
    case 'dropout':
    case 'add':
      return pass === 'forward' ? op.kind : undefined;
    default:
      return undefined;
  }
}

/** A runtime with a batch, parameters and embeddings, as the model would bind it. */
function boundTo(one) {
  const proteins = Int32Array.from({ length: 2 * PAIRS }, (_, i) => i);
  const lengths = new Int32Array(2 * PAIRS).fill(LENGTH);
  const fill = (array) => array.map((_, i) => ((i * 7919) % 1000) / 250 - 2);
  const read = (_, out, at) => out.set(fill(new Float32Array(LENGTH * WIDTH)), at);
  const runtime = new Runtime(one, { dim: WIDTH, count: 2 * PAIRS, lengths, read }, 'float32');
  // Small enough for attention to stay soft: what underflows is slow.
  for (const values of runtime.parameters.values()) values.set(fill(values).map((x) => x / 500));
  const [proteinA, proteinB] = [proteins.subarray(0, PAIRS), proteins.subarray(PAIRS)];
  runtime.batch = { proteinA, proteinB, labels: new Float32Array(PAIRS) };
  runtime.layout = layoutOf(runtime.batch, lengths);
  runtime.training = true;
  runtime.gradient(one.lossPerPair).fill(1 / PAIRS);
  return runtime;
}

/** Of a call: the median over the repetitions of what each of several calls took, once the compiler has seen it. */
function milliseconds(call) {
  call();
  const times = Array.from({ length: REPETITIONS }, () => {
    const start = performance.now();
    let calls = 0;
    for (; calls === 0 || performance.now() - start < 20; calls++) call();
    return (performance.now() - start) / calls;
  });
  return median(times);
}
