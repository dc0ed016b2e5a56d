import type { Config } from '../../config/schema.ts';
import { programCost } from '../../engine/cost.ts';
import { layoutOfSequences } from '../../engine/layout.ts';
import { elementCount, type Program, type TensorId } from '../../model/program.ts';
import { buildModel } from '../../model/registry.ts';
import { command } from '../command.ts';
import { CONFIG_OPTIONS, loadWithWarnings } from '../config.ts';
import { bytes, flops, grouped, table } from '../table.ts';

export const describe = command({
  details: [
    'Lists the parameters with their shapes, the operations with theirs, and what one training step costs: floating-',
    'point operations forward and backward, and bytes moved. The counts come from the model, nothing is run. A step is',
    'a batch of training_config.batch_size pairs of proteins of one length.',
  ].join('\n'),
  examples: [
    'relic-train describe --config configs/v3.yaml',
    'relic-train describe --config configs/v3.yaml --length 512 --json',
  ],
  options: {
    ...CONFIG_OPTIONS,
    length: {
      type: 'integer',
      value: 'N',
      minimum: 1,
      description: 'residues of every protein (data_config.max_sequence_length)',
    },
    json: { type: 'flag', description: 'print JSON' },
  },
  async run(values, output) {
    const { config } = loadWithWarnings(values.config, values.set, output);
    const length = values.length ?? config.data_config.max_sequence_length;
    const facts = describeModel(config, length);
    output.stdout(values.json ? `${JSON.stringify(facts, null, 2)}\n` : `${inWords(facts)}\n`);
  },
});

/** The model of a config, and the cost of a step on pairs of proteins that are all `length` residues long. */
function describeModel(config: Config, length: number) {
  const { loss, batch_size: pairs } = config.training_config;
  const program = buildModel(config.model_config.model, config.model_config, {
    posWeight: loss.pos_weight,
    labelSmoothing: loss.label_smoothing,
  });
  const side = new Int32Array(pairs);
  const cost = programCost(program, layoutOfSequences([side, side], Int32Array.of(length)));
  return {
    model: program.name,
    batch: { pairs, residuesPerProtein: length },
    parameters: program.parameters.map(({ name, shape }) => ({ name, shape, count: elementCount(shape) })),
    parameterCount: cost.parameters,
    buffers: program.buffers.map(({ name, shape, dtype }) => ({ name, shape, dtype })),
    operations: cost.ops.map(({ op, ...counts }) => ({
      kind: op.kind,
      inputs: op.inputs.map((id) => shape(program, id)),
      output: shape(program, op.outputs[0]),
      parameters: op.parameters.map(({ name }) => name),
      ...counts,
    })),
    step: { forwardFlops: cost.forwardFlops, backwardFlops: cost.backwardFlops, bytes: cost.bytes },
  };
}

function shape(
  program: Program,
  id: TensorId,
): { readonly name: string; readonly rows: string | number; readonly cols: number } {
  const { name, rows, cols } = program.tensors[id];
  return { name, rows, cols };
}

function inWords(facts: ReturnType<typeof describeModel>): string {
  const { batch, step } = facts;
  const parameters = facts.parameters.map((each) => [each.name, `[${each.shape.join(', ')}]`, grouped(each.count)]);
  const operations = facts.operations.map((each) => [
    each.kind,
    each.output.name,
    `${each.output.rows} x ${each.output.cols}`,
    flops(each.forwardFlops),
    flops(each.backwardFlops),
    bytes(each.bytes),
  ]);
  const total = step.forwardFlops + step.backwardFlops;
  return [
    `${facts.model}: ${grouped(facts.parameterCount)} parameters, ${bytes(facts.parameterCount * 4)} in float32`,
    '',
    'parameters:',
    table([...parameters, ['total', '', grouped(facts.parameterCount)]], '  '),
    '',
    'operations:',
    table([['kind', 'output', 'shape', 'forward', 'backward', 'moved'], ...operations], '  '),
    '',
    `a training step of ${batch.pairs} pairs of proteins of ${batch.residuesPerProtein} residues:`,
    `  ${flops(step.forwardFlops)} forward, ${flops(step.backwardFlops)} backward, ${flops(total)} together`,
    `  ${bytes(step.bytes)} moved through memory, the optimizer included`,
  ].join('\n');
}
