// Runs every test/**/*.test.ts in a process of its own: `npm test [-- substring ...]`.
// uvu alone can exit 0 when a hook throws, when run() is forgotten or when nothing matched, so a file is good
// only if it exits 0, ran at least one test and passed as many as it has. What a machine cannot run, a file tells in lines
// `left out: WHY`, which are shown.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const limitMs = Number(process.env.TEST_TIMEOUT_MS ?? 300_000);
const jobs = Number(process.env.TEST_JOBS ?? availableParallelism());
const filters = process.argv.slice(2);
const files = readdirSync(join(root, 'test'), { recursive: true })
  .map((name) => join(root, 'test', String(name)))
  .filter((name) => name.endsWith('.test.ts') && (filters.length === 0 || filters.some((part) => name.includes(part))))
  .sort();

function run(file) {
  return new Promise((resolve) => {
    const started = Date.now();
    const child = spawn(process.execPath, ['--import', 'tsx', file], {
      cwd: root,
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    const timer = setTimeout(() => {
      output += `\nkilled after ${limitMs} ms`;
      child.kill('SIGKILL');
    }, limitMs);
    child.on('close', (code) => {
      clearTimeout(timer);
      const sum = (word) =>
        [...output.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)`, 'gm'))].reduce((total, m) => total + Number(m[1]), 0);
      const [total, passed] = [sum('Total'), sum('Passed')];
      const good = code === 0 && total > 0 && passed === total;
      const failed = good ? 0 : Math.max(1, total - passed);
      resolve({ file, output, good, passed, failed, seconds: (Date.now() - started) / 1000 });
    });
  });
}

const results = [];
const queue = [...files];
await Promise.all(
  Array.from({ length: Math.max(1, jobs) }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await run(file);
      results.push(result);
      const name = relative(root, file);
      console.log(`${result.good ? 'ok  ' : 'FAIL'} ${name} (${result.passed} passed, ${result.seconds.toFixed(1)} s)`);
      const shown = result.good ? (result.output.match(/^left out: .*/gm) ?? []).join('\n') : result.output;
      if (shown !== '') console.log(shown.replace(/^/gm, '     '));
    }
  }),
);
const passed = results.reduce((total, r) => total + r.passed, 0);
const failed = results.reduce((total, r) => total + r.failed, 0) + (files.length === 0 ? 1 : 0);
if (files.length === 0) console.log(`no test file matches ${filters.join(' ') || 'test/**/*.test.ts'}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
