import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { missingCpuFeatures, probe, probeCuda } from '../../../src/engine/native/probe.ts';
import { nativeBinary } from '../engines.ts';

const test = suite('engine/native/probe');
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

/** The message of the failed probe. */
async function failureOf(path: string): Promise<string> {
  try {
    await probe(path);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('the probe succeeded');
}

test('a file that is no binary fails with one line that names it', async () => {
  const path = join(work, 'text.node');
  writeFileSync(path, 'this is text');
  const message = await failureOf(path);
  assert.ok(message.includes(path) && !message.includes('\n'), message);
});

test('a binary that crashes takes the child down, not this process', async () => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return;
  const path = fileURLToPath(new URL('../../fixtures/native/crash-linux-x64.node', import.meta.url));
  assert.match(await failureOf(path), /^loading it crashed with SIG\w+$/);
});

test('the binary of this machine answers with its version and kernels', async () => {
  if (nativeBinary === undefined) return;
  const { version, isas, bf16Isas } = await probe(nativeBinary.path);
  assert.match(version, /^\d+\.\d+\.\d+/);
  assert.is(isas.at(-1), 'generic');
  assert.equal(bf16Isas, nativeBinary.binding.bf16Isas());
});

test('an x64 CPU below the baseline is recognised by its flags', () => {
  const cpu = (flags: string) => () => `processor : 0\nflags\t\t: fpu ${flags} lm\nbugs : none\n`;
  assert.is(missingCpuFeatures('x64', cpu('sse4_2 popcnt avx2')), undefined);
  assert.is(missingCpuFeatures('x64', cpu('sse4_2')), 'this CPU lacks popcnt');
  assert.is(missingCpuFeatures('x64', cpu('ssse3')), 'this CPU lacks sse4_2 and popcnt');
  assert.is(missingCpuFeatures('arm64', cpu('')), undefined);
  const unreadable = () => {
    throw new Error('no such file');
  };
  assert.is(missingCpuFeatures('x64', unreadable), undefined);
  assert.is(
    missingCpuFeatures('x64', () => 'nothing known'),
    undefined,
  );
});

test('asking a library for GPUs fails with one line that says why', async () => {
  if (nativeBinary === undefined) return;
  const absent = join(work, 'librelic_cuda.so');
  const wrong = join(work, 'text.so');
  writeFileSync(wrong, 'this is text');
  for (const path of [absent, wrong]) {
    const message = await probeCuda(nativeBinary.path, path).then(
      () => 'it succeeded',
      (error: Error) => error.message,
    );
    assert.ok(message.includes(path) && !message.includes('\n'), message);
  }
});

test.run();
