/** The encoding is read back here as native/include/relic/program.h documents it. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  ENCODING_VERSION,
  encodeGradients,
  encodeProgram,
  GRADIENTS_MAGIC,
  PROGRAM_MAGIC,
} from '../../../src/engine/native/encode.ts';
import { differentiate } from '../../../src/model/autodiff.ts';
import { forInference, sequencePrefix } from '../../../src/model/inference.ts';
import { elementCount, OP_KINDS, type Program } from '../../../src/model/program.ts';
import { buildV3 } from '../../../src/model/v3.ts';
import { dropoutScale, dropoutThreshold } from '../../../src/random/philox.ts';
import { assertThrowsCode } from '../../assert.ts';
import { droppingV3, NO_LOSS_OPTIONS, smallV3 } from '../../model/v3-config.ts';
import { opCases } from '../op-cases.ts';

const HEADER = join(dirname(fileURLToPath(import.meta.url)), '../../../native/include/relic/program.h');

/** Reads words one after another. */
function reader(words: Float64Array) {
  let at = 0;
  const word = () => {
    assert.ok(at < words.length, 'the encoding ends too early');
    return words[at++];
  };
  const many = <T>(read: () => T): T[] => Array.from({ length: word() }, read);
  return { word, many, left: () => words.length - at };
}

interface DecodedOp {
  kind: number;
  inputs: number[];
  outputs: number[];
  parameters: number[][];
  attributes: number[];
}

function decode(words: Float64Array) {
  const { word, many, left } = reader(words);
  const op = (): DecodedOp => ({
    kind: word(),
    inputs: many(word),
    outputs: many(word),
    parameters: many(() => [word(), word(), word(), word()]),
    attributes: many(word),
  });
  const decoded = {
    magic: word(),
    version: word(),
    inputDim: word(),
    tensors: many(() => [word(), word()]),
    states: many(() => [word(), word(), word()]),
    training: many(op),
    scoring: many(op),
    prefix: [word(), word()],
    results: [word(), word(), word()],
  };
  assert.is(left(), 0);
  return decoded;
}

const test = suite('encode');

test('a program is encoded whole: tensors, state, both op lists, results', () => {
  const config = droppingV3();
  const program = buildV3({ ...config, mlp_head: { ...config.mlp_head, norm: 'batchnorm' } }, NO_LOSS_OPTIONS);
  const decoded = decode(encodeProgram(program));
  assert.is(decoded.magic, PROGRAM_MAGIC);
  assert.is(decoded.version, ENCODING_VERSION);
  assert.is(decoded.inputDim, program.inputDim);
  const spaces = ['pairs', 'tokensB', 'tokensA', 'tokens'];
  assert.equal(
    decoded.tensors,
    program.tensors.map(({ rows, cols }) => [typeof rows === 'number' ? rows : spaces.indexOf(rows) - 4, cols]),
  );
  const shapes = new Map([...program.parameters, ...program.buffers].map((each) => [each.name, each.shape]));
  assert.equal(
    decoded.states.map(([, elements]) => elements),
    program.stateNames.map((name) => elementCount(shapes.get(name)!)),
  );
  const variance = program.stateNames.indexOf('output_head.layers.1.running_var');
  assert.equal(decoded.states[variance], [1, 6, 1]);
  assert.is(decoded.states[0][0], 0);
  const inference = forInference(program);
  for (const [ops, list] of [
    [program.ops, decoded.training],
    [inference.ops, decoded.scoring],
  ] as const) {
    assert.equal(
      list.map(({ kind, inputs, outputs }) => ({ kind, inputs, outputs })),
      ops.map(({ kind, inputs, outputs }) => ({ kind: OP_KINDS.indexOf(kind), inputs, outputs })),
    );
    list.forEach(({ parameters }, i) => {
      assert.equal(
        parameters,
        ops[i].parameters.map(({ name, row, rows, cols }) => [program.stateNames.indexOf(name), row, rows, cols]),
      );
    });
  }
  const prefix = sequencePrefix(inference);
  assert.equal(decoded.prefix, [prefix?.ops, prefix?.output]);
  assert.equal(decoded.results, [program.logits, inference.logits, program.lossPerPair]);
});

test('rates travel as thresholds and scales; scoring has none', () => {
  const { training, scoring } = decode(encodeProgram(buildV3(droppingV3(0.2), NO_LOSS_OPTIONS)));
  const attentions = (ops: DecodedOp[]) => ops.filter(({ kind }) => kind === OP_KINDS.indexOf('attention'));
  assert.equal(attentions(training)[0].attributes.slice(0, 8), [
    ...[2, 8, 0, 0, 8, 16],
    ...[dropoutThreshold(0.2), dropoutScale(0.2)],
  ]);
  assert.ok(attentions(scoring).every(({ attributes }) => attributes[6] === 0));
  const drop = training.find(({ kind }) => kind === OP_KINDS.indexOf('dropout'));
  assert.equal(drop?.attributes, [dropoutThreshold(0.2), dropoutScale(0.2), 0]);
});

test('a program without a prefix says so', () => {
  const whole = opCases().find(({ kind }) => kind === 'batchNorm') as { program: Program };
  const lone = { ...whole.program, tensors: whole.program.tensors.map((each) => ({ ...each, rows: 3 })) };
  assert.equal(decode(encodeProgram(lone)).prefix, [0, -1]);
});

test('a backward list is encoded op by op, and what is not trained gets no gradient', () => {
  const program = buildV3(smallV3(), NO_LOSS_OPTIONS);
  const gradients = differentiate(program, (name) => name.startsWith('cross_attention'));
  const { word, many, left } = reader(encodeGradients(program, gradients));
  assert.equal([word(), word()], [GRADIENTS_MAGIC, ENCODING_VERSION]);
  const ops = many(() => ({ op: word(), inputs: many(word), parameters: many(word) }));
  const target = (each: { accumulate: boolean } | null) => (each === null ? -1 : each.accumulate ? 1 : 0);
  assert.equal(
    ops,
    gradients.ops.map(({ op, inputs, parameters }) => ({
      op,
      inputs: inputs.map(target),
      parameters: parameters.map(target),
    })),
  );
  assert.ok(ops.some(({ parameters }) => parameters.includes(1)) && ops.some(({ inputs }) => inputs.includes(-1)));
  assert.equal(
    many(word),
    gradients.trained.map((name) => program.stateNames.indexOf(name)),
  );
  assert.is(left(), 0);
});

test('a state that the program does not have is refused', () => {
  const program = buildV3(smallV3(), NO_LOSS_OPTIONS);
  const stateNames = program.stateNames.slice(1);
  assertThrowsCode(() => encodeProgram({ ...program, stateNames }), 'RELIC_PROGRAM_INVALID', /input_projection/);
  const unknown = [...program.stateNames, 'ghost'];
  assertThrowsCode(() => encodeProgram({ ...program, stateNames: unknown }), 'RELIC_PROGRAM_INVALID', /ghost/);
});

test('the C++ header knows the same op kinds and numbers', () => {
  const header = readFileSync(HEADER, 'utf8');
  const kinds = /enum class OpKind[^{]*\{([^}]*)\}/.exec(header)?.[1] ?? '';
  assert.equal(kinds.match(/\w+/g), OP_KINDS);
  const constant = (name: string) => Number(new RegExp(`${name} = (\\w+);`).exec(header)?.[1]);
  assert.is(constant('kOpKinds'), OP_KINDS.length);
  assert.is(constant('kProgramMagic'), PROGRAM_MAGIC);
  assert.is(constant('kGradientsMagic'), GRADIENTS_MAGIC);
  assert.is(constant('kEncodingVersion'), ENCODING_VERSION);
});

test.run();
