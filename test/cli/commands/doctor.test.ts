import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nativeBinary } from '../../engine/engines.ts';
import { runCli } from '../capture.ts';

const test = suite('cli/commands/doctor');

test('says which engines there are, and why others are not', async () => {
  const { status, stdout } = await runCli('doctor');
  assert.is(status, 0);
  assert.match(stdout, /^ {2}typescript +available +\w/m);
  assert.match(stdout, /^ {2}cuda +not available +\w/m);
  assert.match(stdout, /^node +v\d+/m);
  assert.match(stdout, /^directory +.*: writable$/m);
  assert.match(stdout, /^memory .*keeps up to .* of encoder outputs$/m);
});

test('says which kernels a run uses, at which precisions, and that those of RELIC_ISA cannot run', async () => {
  if (nativeBinary === undefined) return assert.match((await runCli('doctor')).stdout, /^kernels +none: the native/m);
  const best = nativeBinary.isas[0];
  const bf16 = nativeBinary.binding.bf16Isas().includes(best) ? ' or bf16' : '';
  assert.match((await runCli('doctor')).stdout, `${best}, the best here; cpu_precision fp32${bf16}\n`);
  const before = process.env.RELIC_ISA;
  try {
    process.env.RELIC_ISA = 'generic';
    assert.match((await runCli('doctor')).stdout, /^kernels +generic, by RELIC_ISA=generic; cpu_precision fp32$/m);
    process.env.RELIC_ISA = best === 'neon' ? 'avx2' : 'neon';
    const { stdout } = await runCli('doctor');
    assert.match(stdout, /^kernels +none: RELIC_ISA=\w+, expected .*generic; runs on the native engine will fail$/m);
  } finally {
    delete process.env.RELIC_ISA;
    if (before !== undefined) process.env.RELIC_ISA = before;
  }
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
