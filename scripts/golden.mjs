// Repeats whole runs of the original program and compares what they leave: npm run golden [-- DIR] [--keep WORK_DIR] [--engine NAME] [--launch WAY]
// DIR holds one folder a run (config.yaml, logs/, models/) and pairs/, which each run sees in its working directory.
// It defaults to pipeline/ of RELIC_GOLDEN_DIR, or of test/golden. --keep leaves our runs in WORK_DIR, one folder a run;
// --engine is a value of device_config.engine. Runs of several ranks are repeated in each way that is here: `simulated` in one
// process, and by as many processes, started by `env` (variables as torchrun sets them), `openmpi` or `mpich`; --launch picks one.
// Exit status 1 if any check fails.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { register } from 'tsx/esm/api';

register();
const { COMPAT, launchesHere, ranksOf, runGolden } = await import('../test/golden/compare.ts');
const { goldenDir } = await import('../test/golden.ts');

const { values, positionals } = parseArgs({
  options: { keep: { type: 'string' }, engine: { type: 'string', default: 'auto' }, launch: { type: 'string' } },
  allowPositionals: true,
});
const dir = positionals[0] ?? join(goldenDir(), 'pipeline');
const runs = existsSync(dir)
  ? readdirSync(dir)
      .filter((name) => existsSync(join(dir, name, 'config.yaml')))
      .sort()
  : [];
if (runs.length === 0) {
  console.error(`golden: no run (a folder with config.yaml) in ${dir}`);
  console.log('0 passed, 1 failed');
  process.exit(1);
}

console.log(`runs in ${dir}, repeated with run_config.compat=${COMPAT} on engine ${values.engine}`);
const work = values.keep ?? mkdtempSync(join(tmpdir(), 'relic-golden-'));
const launches = values.launch === undefined ? await launchesHere(values.engine) : [values.launch];
let [passed, failed] = [0, 0];
try {
  for (const run of runs) {
    const several = ranksOf(join(dir, run)) > 1;
    for (const launch of several ? launches : ['simulated']) {
      const { checks, ranks } = await runGolden(join(dir, run), {
        pairsDir: join(dir, 'pairs'),
        workDir: join(work, launch === 'simulated' ? run : `${run}-${launch}`),
        engine: values.engine,
        launch,
      });
      const how = launch === 'simulated' ? 'simulated in one process' : `as many processes, started by ${launch}`;
      console.log(`\n${run}${several ? ` (${ranks} ranks, ${how})` : ''}`);
      for (const { name, ok, detail } of checks) {
        console.log(`  ${ok ? 'ok  ' : 'FAIL'} ${name}: ${detail}`);
        if (ok) passed++;
        else failed++;
      }
    }
  }
} finally {
  if (values.keep === undefined) rmSync(work, { recursive: true, force: true });
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
