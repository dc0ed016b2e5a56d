import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writeConsole } from '../../src/artifacts/console.ts';

const test = suite('artifacts/console');
const MODULE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'src', 'artifacts', 'console.ts');

/** A process that runs `code` with writeConsole at hand. */
function child(code: string) {
  const script = `const { writeConsole } = await import(${JSON.stringify(MODULE)});${code}`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

test('text goes to the descriptor', () => {
  const directory = mkdtempSync(join(tmpdir(), 'relic-'));
  const fd = openSync(join(directory, 'a'), 'w');
  writeConsole('é one\n', fd);
  closeSync(fd);
  assert.is(readFileSync(join(directory, 'a'), 'utf8'), 'é one\n');
  rmSync(directory, { recursive: true });
});

test('a reader that has gone is no error', async () => {
  const process = child('setTimeout(() => { writeConsole("x".repeat(1e6)); console.log("alive"); }, 200);');
  process.stderr.destroy();
  let output = '';
  process.stdout.on('data', (data) => (output += data));
  const code = await new Promise((resolve) => process.on('close', resolve));
  assert.is(output, 'alive\n');
  assert.is(code, 0);
});

test('a full non-blocking pipe is waited for, and nothing is lost', async () => {
  // The use of process.stderr makes its pipe non-blocking, as mpirun does.
  const process = child('process.stderr; for (let i = 0; i < 200; i++) writeConsole("y".repeat(9999) + "\\n"); ');
  let bytes = 0;
  process.stderr.pause();
  setTimeout(() => process.stderr.on('data', (data: Buffer) => (bytes += data.length)).resume(), 600);
  await new Promise((resolve) => process.on('close', resolve));
  assert.is(bytes, 2_000_000);
});

test('a closed descriptor is no error', () => {
  const fd = openSync('/dev/null', 'w');
  closeSync(fd);
  writeConsole('x', fd);
});

test.run();
