/** What a seed step of the native engine consists of beside matrix products, counted from its fused program. */
import { rowCount } from '../../dist/engine/layout.js';
import { differentiate, parameterCount } from '../../dist/index.js';
import { fuse } from '../../dist/model/fuse.js';
import { presetProgram } from './presets.mjs';

const [PAIRS, LENGTH] = [16, 32];
const LAYOUT = { pairs: PAIRS, tokensA: PAIRS * LENGTH, tokensB: PAIRS * LENGTH, tokens: 2 * PAIRS * LENGTH };

/** What bounds an op: memory, unless its arithmetic alone takes longer. */
export function boundOf({ floor, arithmetic }) {
  return arithmetic > floor ? 'arithmetic' : 'memory';
}

/** The cases of bench_ops that a step needs. */
export function stepCases() {
  return [...new Set(parts().map((each) => each.case))];
}

/**
 * Rows of a table by op, and a sentence that sums them up.
 *
 * @param measured results of bench_ops by `name@shape`
 * @param step milliseconds of a whole step
 */
export function accountOf(measured, step) {
  const totals = new Map();
  for (const { name, case: one } of parts()) {
    const shape = one.split('=')[1];
    const found = measured.get(`${name}@${shape}`);
    if (found === undefined) throw new Error(`bench_ops did not measure ${name} at ${shape}`);
    const total = totals.get(name) ?? { times: 0, ns: 0, floor: 0, arithmetic: 0 };
    total.times++;
    for (const key of ['ns', 'floor', 'arithmetic']) total[key] += (found[key] * found.elements) / 1e6;
    totals.set(name, total);
  }
  const all = [...totals.values()];
  const sum = (list, value) => list.reduce((total, each) => total + value(each), 0);
  const spent = sum(all, (each) => each.ns);
  const bound = all.filter((each) => boundOf(each) === 'memory');
  const toFloor = (list, value) => (sum(list, (each) => each.ns) / sum(list, value)).toFixed(2);
  const memory =
    bound.length === 0 ? '' : `; those bound by memory take ${toFloor(bound, (each) => each.floor)} times theirs`;
  const limit = toFloor(all, (each) => Math.max(each.floor, each.arithmetic));
  const summary = `Together they take ${spent.toFixed(1)} ms, ${((100 * spent) / step).toFixed(0)} % of a step of ${step.toFixed(1)} ms: \
${toFloor(all, (each) => each.floor)} times their floor, ${limit} times the larger of floor and arithmetic${memory}.`;
  const rows = [...totals].map(([name, total]) => [
    name,
    total.times,
    ...[total.ns, total.floor].map((ms) => ms.toFixed(3)),
    (total.ns / total.floor).toFixed(2),
    total.arithmetic.toFixed(3),
    boundOf(total),
  ]);
  return { rows, summary };
}

/** One entry for each time that the step runs an op: its name and its case of bench_ops. */
function parts() {
  const program = fuse(presetProgram('seed', 0.1));
  const trained = new Set(differentiate(program, () => true).ops.map(({ op }) => op));
  const list = program.ops.flatMap((op, index) => {
    const { rows, cols } = program.tensors[op.outputs[0]];
    const rowsCase = `rows=${rowCount(rows, LAYOUT)}x${cols}`;
    return partsOf(op, rowsCase)
      .filter(([name]) => trained.has(index) || !name.endsWith('backward'))
      .map(([name, one]) => ({ name, case: one }));
  });
  return [...list, { name: 'adamw', case: `adamw=${parameterCount(program)}` }];
}

function partsOf(op, rows) {
  const both = (name, one = rows) => ['forward', 'backward'].map((pass) => [`${name} ${pass}`, one]);
  switch (op.kind) {
    case 'gather':
      return [['copy', rows]];
    case 'linear':
      return [['columnSums', rows]];
    case 'activation':
      return both(op.attributes.function);
    case 'dropout':
      return [
        ['dropout', rows],
        ['dropout', rows],
      ];
    case 'add':
      return [['add', rows]];
    case 'layerNorm':
    case 'activationDropout':
    case 'stochasticDepthAdd':
      return both(op.kind);
    case 'dropoutAdd':
      return both(op.attributes.dropouts.length === 1 ? 'dropoutAdd' : 'dropoutAdd twice');
    case 'attention':
      return both(
        'attention',
        `attention=${op.attributes.segments === 'self' ? 2 * PAIRS : PAIRS}x${attentionShape(op)}`,
      );
    case 'absorbedAttention':
      return both('absorbedAttention', `absorbed=${PAIRS}x${attentionShape(op)}`);
    case 'sliceRows':
    case 'concatRows':
    case 'expand':
    case 'bceLoss':
      return [];
    default:
      throw new Error(`step-ops.mjs does not know the op ${op.kind}`);
  }
}

function attentionShape({ attributes: { heads, width } }) {
  return `${LENGTH}x${heads}x${width / heads}`;
}
