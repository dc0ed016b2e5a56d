// Reads what ptxas said of every kernel when the GPU engine was compiled (build/cuda-build.log, or the file given) and
// fails when one of them spills registers, which are then memory: `node scripts/check-ptxas.mjs [LOG]`.
// The last line is `N passed, N failed`, a kernel for each architecture counting as one.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a kernel may spill, with the reason. */
const ALLOWED = [
  // Float32 attention of one query a block: used in scoring and for checks, and waits for memory anyway.
  { kernel: /singleBackwardKernelIf/, bytes: 16 },
  // Layer norm of widths that are no multiple of four, which no model of ours has.
  { kernel: /anyInputGradientKernel/, bytes: 16 },
];

const log = process.argv[2] ?? join(dirname(dirname(fileURLToPath(import.meta.url))), 'build', 'cuda-build.log');
if (!existsSync(log)) {
  console.log(`${log} does not exist: npm run build writes it where nvcc is found`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const pattern =
  /Compiling entry function '(\S+)' for '(\S+)'[\s\S]*?(\d+) bytes spill stores, (\d+) bytes spill loads[\s\S]*?Used (\d+) registers/g;
let [passed, failed] = [0, 0];
for (const [, kernel, arch, stores, loads, registers] of readFileSync(log, 'utf8').matchAll(pattern)) {
  const spilled = Math.max(Number(stores), Number(loads));
  const allowed = ALLOWED.find((each) => each.kernel.test(kernel))?.bytes ?? 0;
  if (spilled <= allowed) {
    passed++;
    continue;
  }
  failed++;
  console.log(`FAIL ${kernel} for ${arch}: spills ${spilled} bytes with ${registers} registers`);
}
if (passed + failed === 0) {
  failed = 1;
  console.log(`${log} tells of no kernel`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
