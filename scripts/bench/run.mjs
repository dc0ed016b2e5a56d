// Measures and writes docs/benchmarks.md:
//
//   node scripts/bench/run.mjs --python PY --oracle DIR [--only steps|evaluation|gemm|ops] [--rounds 5] [--threads 2]
//                              [--match TEXT] [--no-write]
//
// PY is a Python with PyTorch and NumPy, DIR the folder of bench_torch.py and v3_torch.py. --match measures only the
// cases whose name has TEXT, and writes nothing. Run `npm run build` first, and leave the machine alone meanwhile.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { selectEngine } from '../../dist/index.js';
import * as evaluation from './evaluation.mjs';
import * as gemm from './gemm.mjs';
import * as ops from './ops.mjs';
import { withSection } from './page.mjs';
import * as steps from './steps.mjs';
import { ROOT } from './trial.mjs';

const SECTIONS = { steps, evaluation, gemm, ops };
const PAGE = join(ROOT, 'docs', 'benchmarks.md');

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    oracle: { type: 'string' },
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    match: { type: 'string', default: '' },
    'no-write': { type: 'boolean', default: false },
  },
});
const names = values.only === undefined ? Object.keys(SECTIONS) : values.only.split(',');
for (const name of names) {
  if (!(name in SECTIONS)) throw new Error(`--only takes ${Object.keys(SECTIONS).join(', ')}, not ${name}`);
}
const [rounds, threads] = [Number(values.rounds), Number(values.threads)];
if (!(rounds >= 1 && threads >= 1)) throw new Error('--rounds and --threads take whole numbers from 1 on');

const asked = { device: 'cpu', engine: 'auto', threads, cpu_precision: 'fp32' };
const { info } = await selectEngine(asked);
if (info.name !== 'native') throw new Error(`the native engine cannot be used: ${info.reason}`);
const { info: rounding } = await selectEngine({ ...asked, cpu_precision: 'bf16' });
// bf16: the kernels for it, undefined without.
const bf16 = rounding.precision === 'bf16' ? rounding.isa : undefined;
const settings = { ...values, rounds, threads, isa: info.isa, bf16 };

for (const name of names) {
  for (const needed of SECTIONS[name].NEEDS) {
    if (values[needed] === undefined) throw new Error(`--${needed} is needed for ${name}`);
  }
}
for (const name of names) {
  const { title, measure } = SECTIONS[name];
  const { body, torch } = await measure(settings);
  const section = { name, title, facts: factsOf(name, torch), body };
  if (values['no-write'] || values.match !== '') {
    console.log(withSection('', [name], section));
    continue;
  }
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '';
  mkdirSync(dirname(PAGE), { recursive: true });
  writeFileSync(PAGE, withSection(page, Object.keys(SECTIONS), section));
}

function factsOf(name, torch) {
  const command = `node scripts/bench/run.mjs --only ${name} --rounds ${rounds} --threads ${threads}`;
  const needs = SECTIONS[name].NEEDS.map((each) => ` --${each} ${each === 'oracle' ? 'DIR' : 'PYTHON'}`).join('');
  const facts = [
    new Date().toISOString().slice(0, 10),
    `commit ${commit()}`,
    `${cpus()[0].model.trim()} (${cpus().length} cores, ${info.isa}${bf16 === undefined ? '' : `, bf16 by ${bf16}`})`,
    `${threads} threads`,
    `Node ${process.versions.node}`,
    ...(torch === undefined ? [] : [`PyTorch ${torch}`]),
  ];
  return `${facts.join(', ')}.\n\`${command}${needs}\``;
}

/** The commit, and whether what ran differs from it. */
function commit() {
  const git = (...args) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', '.', ':!docs/benchmarks.md') !== '';
  return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`;
}
