import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { forInference, sequencePrefix } from '../../src/model/inference.ts';
import { verifyProgram } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { droppingV3, NO_LOSS_OPTIONS, smallV3 } from './v3-config.ts';

const test = suite('inference');

test('an inference program has nothing random in it and is still whole', () => {
  const program = forInference(buildV3(droppingV3(), NO_LOSS_OPTIONS));
  verifyProgram(program);
  for (const op of program.ops) {
    assert.ok(op.kind !== 'dropout' && op.kind !== 'stochasticDepth', op.kind);
    if (op.kind === 'attention') assert.is(op.attributes.p, 0);
  }
});

test('it has the ops of the same model without rates', () => {
  const kinds = (config: Parameters<typeof buildV3>[0]) =>
    forInference(buildV3(config, NO_LOSS_OPTIONS)).ops.map(({ kind }) => kind);
  assert.equal(kinds(droppingV3(0.2)), kinds(droppingV3(0)));
});

test('the part of V3 that sees one sequence at a time is its encoder', () => {
  const program = forInference(buildV3(smallV3(), NO_LOSS_OPTIONS));
  const prefix = sequencePrefix(program)!;
  assert.is(program.tensors[prefix.output].name, 'encoder.output_norm');
  assert.is(program.ops[prefix.ops].kind, 'sliceRows');
});

test.run();
