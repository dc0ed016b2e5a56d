// Compiles and runs the C++ tests, native/test/*_test.cpp with a main():
// `node scripts/native-tests.mjs [address|undefined|address,undefined|thread] [name ...]`.
// A sanitiser makes a build of its own. Names choose programs; all run unless some are given. A program passes when it
// exits with 0; when its last line is `N passed, N failed`, its own numbers count. The last line here is such a line.
// Without a sanitiser, `kernel_symbols` looks at the objects of the instruction sets as well (kernel-symbols.mjs).
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelSymbols } from './kernel-symbols.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const TESTS = join(ROOT, 'native', 'test');
const SANITIZERS = ['address', 'undefined', 'address,undefined', 'thread'];
const args = process.argv.slice(2);
const sanitizer = args.find((arg) => SANITIZERS.includes(arg)) ?? '';
const chosen = args.filter((arg) => arg !== sanitizer);
const isChosen = (name) => chosen.length === 0 || chosen.includes(name);
const build = join(ROOT, 'build', sanitizer === '' ? 'native-tests' : `native-tests-${sanitizer.replace(',', '-')}`);

function step(program, options) {
  const { status, stdout, stderr, error } = spawnSync(program, options, { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return;
  console.log(`${stdout ?? ''}${stderr ?? ''}${error ?? ''}`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}

step('cmake', ['-S', ROOT, '-B', build, '-DCMAKE_BUILD_TYPE=Release', `-DRELIC_SANITIZE=${sanitizer}`]);
const folder = join(build, 'native-tests');
const programs = readdirSync(TESTS)
  .filter((name) => name.endsWith('_test.cpp') && /^int main\(/m.test(readFileSync(join(TESTS, name), 'utf8')))
  .map((name) => name.replace(/\.cpp$/, ''))
  .filter(isChosen);
// Sanitisers add symbols of their own.
const looksAtObjects = sanitizer === '' && isChosen('kernel_symbols');
// Alone, programs need not wait for what all of them need together.
const targets = chosen.length === 0 ? ['native-tests'] : [...programs, ...(looksAtObjects ? ['relic_cpu'] : [])];
const jobs = String(Math.max(2, availableParallelism()));
if (targets.length > 0) step('cmake', ['--build', build, '--parallel', jobs, '--target', ...targets]);
const objects = looksAtObjects ? kernelSymbols(ROOT, build) : [];
const nothing = looksAtObjects ? objects.length === 0 : programs.length === 0;
let [passed, failed] = [0, nothing ? 1 : 0];
for (const name of programs) {
  const path = join(folder, name);
  // Whatever ends a sanitised program with a status, undefined behaviour included.
  const env = { ...process.env, UBSAN_OPTIONS: 'print_stacktrace=1', TSAN_OPTIONS: 'halt_on_error=1' };
  const { status, signal, stdout, stderr } = existsSync(path)
    ? spawnSync(path, [], { encoding: 'utf8', env })
    : { status: null, signal: 'nothing: it was not built', stdout: '', stderr: '' };
  const counts = /(\d+) passed, (\d+) failed\s*$/.exec(stdout);
  const [good, bad] = counts === null ? [status === 0 ? 1 : 0, status === 0 ? 0 : 1] : counts.slice(1).map(Number);
  passed += good;
  failed += status !== 0 && bad === 0 ? 1 : bad;
  console.log(`${status === 0 && bad === 0 ? 'ok  ' : 'FAIL'} ${name} (${good} passed)`);
  if (status !== 0 || bad > 0) console.log(`${stdout}${stderr}\nended with ${signal ?? status}`);
}
for (const { name, defined, good } of objects) {
  if (good) passed++;
  else failed++;
  console.log(`${good ? 'ok  ' : 'FAIL'} kernel_symbols ${name}: ${defined.join(', ')}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
