import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runCli } from '../capture.ts';

const test = suite('cli/commands/doctor');

test('says which engines there are, and why others are not', async () => {
  const { status, stdout } = await runCli('doctor');
  assert.is(status, 0);
  assert.match(stdout, /^ {2}typescript +available +\w/m);
  assert.match(stdout, /^ {2}cuda +not available +\w/m);
  assert.match(stdout, /^node +v\d+/m);
  assert.match(stdout, /^directory +.*: writable$/m);
});

test('--json gives the same to programs', async () => {
  const findings = JSON.parse((await runCli('doctor', '--json')).stdout);
  assert.is(findings.node, process.version);
  assert.is(findings.workingDirectory.writable, true);
  assert.ok(findings.cpu.threads >= 1);
  assert.match(findings.cpu.reason, /CPUs/);
  const typescript = findings.engines.find(({ name }: { name: string }) => name === 'typescript');
  assert.is(typescript.available, true);
});

test.run();
