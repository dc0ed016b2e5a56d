import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { simulationFiles } from '../../../src/data/simulate.ts';
import { SIMULATE_DEFAULTS } from '../../../src/data/simulate-options.ts';
import { runCli } from '../capture.ts';

const SMALL = ['--proteins', '30', '--pairs', '60', '--domains', '3', '--seed', '5'];
const root = mkdtempSync(join(tmpdir(), 'relic-'));
const test = suite('cli/commands/simulate');
test.after(() => rmSync(root, { recursive: true, force: true }));

test('writes the files that its options describe', async () => {
  const out = join(root, 'new', 'deep');
  const { status, stdout } = await runCli('simulate', '--out', out, ...SMALL);
  assert.is(status, 0);
  const files = simulationFiles({ ...SIMULATE_DEFAULTS, proteins: 30, pairs: 60, domains: 3, seed: 5 });
  assert.equal(readdirSync(out).sort(), files.map(({ name }) => name).sort());
  for (const { name, text } of files) {
    assert.is(readFileSync(join(out, name), 'utf8'), text);
    assert.ok(stdout.includes(join(out, name)));
  }
});

test('the same again changes nothing; other content is left alone without --force', async () => {
  const out = join(root, 'twice');
  await runCli('simulate', '--out', out, ...SMALL);
  assert.is((await runCli('simulate', '--out', out, ...SMALL)).status, 0);
  const [first] = readdirSync(out);
  writeFileSync(join(out, first), 'mine\n');
  const refused = await runCli('simulate', '--out', out, ...SMALL);
  assert.is(refused.status, 2);
  assert.match(refused.stderr, /\[RELIC_USAGE\] files with other content are in the way\n.*--force/s);
  assert.is(readFileSync(join(out, first), 'utf8'), 'mine\n');
  assert.is((await runCli('simulate', '--out', out, ...SMALL, '--force')).status, 0);
  assert.is.not(readFileSync(join(out, first), 'utf8'), 'mine\n');
});

test('options that cannot be met are refused before anything is written', async () => {
  const out = join(root, 'none');
  const { status, stderr } = await runCli('simulate', '--out', out, '--proteins', '10', '--pairs', '100000');
  assert.is(status, 2);
  assert.match(stderr, /RELIC_USAGE/);
  assert.not(readdirSync(root).includes('none'));
});

test.run();
