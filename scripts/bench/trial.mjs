/** Trials: processes that print one JSON line, run one after another, and what is said of their numbers. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BENCH = dirname(fileURLToPath(import.meta.url));
export const ROOT = dirname(dirname(BENCH));

/** Runs a program to its end and returns the JSON of its last line. */
export function trial(program, args) {
  const output = execFileSync(program, args.map(String), { encoding: 'utf8', maxBuffer: 1 << 28 });
  return JSON.parse(output.trim().split('\n').at(-1));
}

/** Compiles the benchmark programs of native/test/ and returns their folder. */
export function nativePrograms() {
  const build = join(ROOT, 'build', 'bench');
  execFileSync('cmake', ['-S', ROOT, '-B', build], { stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('cmake', ['--build', build, '--target', 'native-bench'], { stdio: ['ignore', 'ignore', 'inherit'] });
  return join(build, 'native-tests');
}

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

export function geometricMean(numbers) {
  return Math.exp(numbers.reduce((sum, each) => sum + Math.log(each), 0) / numbers.length);
}

/** `1.80 to 2.10`. */
export function range(numbers) {
  return `${Math.min(...numbers).toFixed(2)} to ${Math.max(...numbers).toFixed(2)}`;
}

/** Three significant digits, whole numbers from 100 on. */
export function short(value) {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

/** A Markdown table. */
export function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
