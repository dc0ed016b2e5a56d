import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { elementCount, type Op, type Program, parameterCount, verifyProgram } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { assertThrowsCode } from '../assert.ts';
import { NO_LOSS_OPTIONS, smallV3 } from './v3-config.ts';

const test = suite('program');
const program = buildV3(smallV3(), NO_LOSS_OPTIONS);

/** The program with one op changed. */
function altered(kind: Op['kind'], change: (op: Op) => Partial<Op>): Program {
  const index = program.ops.findIndex((op) => op.kind === kind);
  const ops = program.ops.map((op, i) => (i === index ? ({ ...op, ...change(op) } as Op) : op));
  return { ...program, ops };
}

test('a program is plain data: it survives JSON', () => {
  assert.equal(JSON.parse(JSON.stringify(program)), program);
  verifyProgram(JSON.parse(JSON.stringify(program)));
});

test('elements and parameters are counted', () => {
  assert.is(elementCount([]), 1);
  assert.is(elementCount([3, 1, 4]), 12);
  assert.is(
    parameterCount(program),
    program.parameters.reduce((total, { shape }) => total + elementCount(shape), 0),
  );
});

test('an input that nothing wrote is refused', () => {
  const last = program.tensors.length - 1;
  assertThrowsCode(
    () => verifyProgram(altered('linear', () => ({ inputs: [last] }))),
    'RELIC_PROGRAM_INVALID',
    /linear/,
  );
});

test('a tensor written twice is refused', () => {
  const bad = altered('add', (op) => ({ outputs: op.inputs.slice(0, 1) }));
  assertThrowsCode(() => verifyProgram(bad), 'RELIC_PROGRAM_INVALID', /written once/);
});

test('widths that disagree with a weight are refused', () => {
  const bad = altered('linear', (op) => ({
    parameters: [{ ...op.parameters[0], cols: op.parameters[0].cols + 1, rows: 1 }, op.parameters[1]],
  }));
  assertThrowsCode(() => verifyProgram(bad), 'RELIC_PROGRAM_INVALID', /widths/);
});

test('a slice beyond its parameter, or of an unknown one, is refused', () => {
  const slice = (op: Op, change: object) => ({ parameters: [{ ...op.parameters[0], ...change }, op.parameters[1]] });
  const beyond = altered('linear', (op) => slice(op, { row: 1 }));
  assertThrowsCode(() => verifyProgram(beyond), 'RELIC_PROGRAM_INVALID', /slice within/);
  const unknown = altered('linear', (op) => slice(op, { name: 'nobody' }));
  assertThrowsCode(() => verifyProgram(unknown), 'RELIC_PROGRAM_INVALID', /nobody/);
});

test('heads that do not divide the width are refused', () => {
  const bad = altered('attention', (op) => ({ attributes: { ...op.attributes, heads: 3 } }) as Partial<Op>);
  assertThrowsCode(() => verifyProgram(bad), 'RELIC_PROGRAM_INVALID', /divisible/);
});

test('a program that never writes its logits is refused', () => {
  const bad = { ...program, ops: program.ops.slice(0, 3) };
  assertThrowsCode(() => verifyProgram(bad), 'RELIC_PROGRAM_INVALID', /logits/);
});

test.run();
