import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fuse } from '../../src/model/fuse.ts';
import { OP_KINDS } from '../../src/model/program.ts';
import { buildV3 } from '../../src/model/v3.ts';
import { goldenVectors } from '../golden.ts';
import { droppingV3, NO_LOSS_OPTIONS, smallV3 } from './v3-config.ts';

const test = suite('v3');

test('the state dict has the names, order and shapes of a PyTorch checkpoint', () => {
  const { tensors, case: description } = goldenVectors<{ model_config: Parameters<typeof buildV3>[0] }>('checkpoint');
  const program = buildV3(description.model_config, NO_LOSS_OPTIONS);
  const expected = [...tensors].filter(([name]) => name.startsWith('state.'));
  assert.equal(
    program.stateNames,
    expected.map(([name]) => name.slice('state.'.length)),
  );
  const shapes = new Map([...program.parameters, ...program.buffers].map(({ name, shape }) => [name, [...shape]]));
  for (const [name, { shape }] of expected) assert.equal(shapes.get(name.slice('state.'.length)), shape, name);
});

test('rates of 0 leave no random op, other rates leave every one', () => {
  const random = (config: Parameters<typeof buildV3>[0]) =>
    buildV3(config, NO_LOSS_OPTIONS).ops.filter(
      (op) =>
        op.kind === 'dropout' || op.kind === 'stochasticDepth' || (op.kind === 'attention' && op.attributes.p > 0),
    );
  assert.is(random(smallV3()).length, 0);
  const ops = random(droppingV3());
  const sites = ops.map((op) => (op.attributes as { site: number }).site);
  assert.is(new Set(sites).size, sites.length, 'every random op draws from a site of its own');
  // Token; per encoder layer attention, 3 dropouts, path; per cross layer 2 x (attention, 4 dropouts) + CLS; head.
  assert.is(ops.length, 1 + 2 * 5 + 2 * 3 * 5 + 2);
});

test('a site keeps its number when another rate becomes 0', () => {
  const siteOf = (tokenRate: number) => {
    const config = smallV3({ regularization: { dropout: 0.1, token_dropout: tokenRate } });
    const op = buildV3(config, NO_LOSS_OPTIONS).ops.find(({ kind }) => kind === 'attention');
    return (op!.attributes as { site: number }).site;
  };
  assert.is(siteOf(0), siteOf(0.3));
});

test('stochastic depth grows to its full rate in the last encoder layer', () => {
  const rates = buildV3(droppingV3(0.2), NO_LOSS_OPTIONS).ops.flatMap((op) =>
    op.kind === 'stochasticDepth' ? [op.attributes.p] : [],
  );
  assert.equal(rates, [0.1, 0.2]);
});

test('all op kinds but batch norm are in a V3 with layer norm, plain and fused', () => {
  const program = buildV3(droppingV3(), NO_LOSS_OPTIONS);
  const kinds = new Set([...program.ops, ...fuse(program).ops].map(({ kind }) => kind));
  assert.equal([...OP_KINDS.filter((kind) => !kinds.has(kind))], ['batchNorm']);
});

test.run();
