// Disassembles the GPU engine and looks for what must not be in its kernels, and for what must:
// `node scripts/check-sass.mjs [LIBRARY]`. It needs cuobjdump and nvdisasm, of the CUDA toolkit, in PATH.
// The last line is `N passed, N failed`, a kernel for each architecture counting as one.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const library = process.argv[2] ?? join(ROOT, 'build', 'Release', 'librelic_cuda.so');

/** Sums whose order changes from run to run. */
const FLOAT_ATOMIC = /^(RED|ATOM[GS]?)\b.*\.B?F(16|32|64)/;
/** Registers that became memory. */
const LOCAL_MEMORY = /^(LDL|STL)\b/;
/** Those that scripts/check-ptxas.mjs lets spill. */
const MAY_USE_LOCAL_MEMORY = /singleBackwardKernelIf|anyInputGradientKernel/;
/** What a kernel is for. */
const NEEDED = [
  {
    kernel: /(forward|backwardQueries|backwardKeys)KernelI(6__half|13__nv_bfloat16)Li/,
    instructions: [/^HG?MMA\b/],
    why: 'the matrix units',
  },
  {
    kernel: /\d(copy|add|activation|dropout|dropoutAdd|adamw|sgd)KernelE/,
    instructions: [/^LDG\.E\.128\b/, /^STG\.E\.128\b/],
    why: 'accesses of 16 bytes',
  },
];

/** By architecture and kernel, its instructions without operands. */
function kernelsOf(text) {
  const kernels = new Map();
  let [arch, instructions] = ['', undefined];
  for (const line of text.split('\n')) {
    const header = /^\s*(Function : (?<name>\S+)|arch = (?<arch>\S+))/.exec(line)?.groups;
    if (header?.arch) arch = header.arch;
    if (header?.name) kernels.set(`${header.name} for ${arch}`, (instructions = []));
    const code = /^\s*\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+\s+)?(?<opcode>[A-Z][A-Z0-9_.]*)/.exec(line);
    if (code) instructions?.push(code.groups.opcode);
  }
  return kernels;
}

function faultsOf(kernel, instructions) {
  const has = (pattern) => instructions.some((each) => pattern.test(each));
  const faults = [];
  if (has(FLOAT_ATOMIC)) faults.push('adds floats atomically');
  if (has(LOCAL_MEMORY) && !MAY_USE_LOCAL_MEMORY.test(kernel)) faults.push('uses local memory');
  for (const { kernel: pattern, instructions: needed, why } of NEEDED) {
    if (pattern.test(kernel) && !needed.every(has)) faults.push(`does not use ${why}`);
  }
  return faults;
}

const { stdout, stderr, error, status } = spawnSync('cuobjdump', ['-sass', library], {
  encoding: 'utf8',
  maxBuffer: 2 ** 30,
});
let [passed, failed] = [0, 0];
for (const [kernel, instructions] of kernelsOf(stdout ?? '')) {
  const faults = faultsOf(kernel, instructions);
  if (faults.length === 0) passed++;
  else failed++;
  for (const fault of faults) console.log(`FAIL ${kernel}: ${fault}`);
}
if (error !== undefined || status !== 0 || passed + failed === 0) {
  failed++;
  console.log(`cuobjdump -sass ${library} tells of no kernel: ${error?.message ?? stderr}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
