import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Project } from '../../e2e/project.ts';
import { runCli } from '../capture.ts';

const test = suite('cli/commands/describe');
const here = new Project();
const config = here.path('config.yaml');
test.after(() => here.remove());

test('counts parameters, operations and the cost of a step', async () => {
  const { status, stdout, stderr } = await runCli('describe', '--config', config, '--json');
  assert.is(status, 0, stderr);
  const facts = JSON.parse(stdout);
  assert.is(
    facts.parameters.reduce((sum: number, { count }: { count: number }) => sum + count, 0),
    facts.parameterCount,
  );
  const projection = facts.parameters.find(({ name }: { name: string }) => name === 'encoder.input_projection.weight');
  assert.equal(projection, { name: 'encoder.input_projection.weight', shape: [8, 8], count: 64 });
  assert.equal(facts.batch, { pairs: 8, residuesPerProtein: 6 });
  const linear = facts.operations.find(({ kind }: { kind: string }) => kind === 'linear');
  // 8 pairs of two proteins of 6 residues, 8 features in and out, two operations a multiply-add.
  assert.is(linear.forwardFlops, 8 * 2 * 6 * 8 * 8 * 2);
  assert.ok(facts.step.backwardFlops > facts.step.forwardFlops);
});

test('longer proteins cost more, overrides count', async () => {
  const cost = async (...args: string[]) =>
    JSON.parse((await runCli('describe', '--config', config, '--json', ...args)).stdout).step.forwardFlops;
  const short = await cost();
  assert.ok((await cost('--length', '12')) > 2 * short);
  // Some operations are independent of the batch.
  assert.ok((await cost('--set', 'training_config.batch_size=16')) > 1.9 * short);
});

test('the tables for people name every parameter and the whole model', async () => {
  const { status, stdout } = await runCli('describe', '--config', config);
  assert.is(status, 0);
  assert.match(stdout, /^v3: [\d,]+ parameters, .* in float32$/m);
  assert.match(stdout, /^ {2}encoder\.input_projection\.weight +\[8, 8\] +64$/m);
  assert.match(stdout, /^ {2}attention +\S+ +tokens x 8 +/m);
  assert.match(stdout, /a training step of 8 pairs of proteins of 6 residues:\n.*FLOP forward, .*FLOP backward/);
});

test.run();
