// Kills runs with SIGKILL at random moments, half-written files included, continues them with --resume auto, and compares
// every file they leave with those of a run that was left alone:
// node scripts/check-resume.mjs [KILLS] [ENGINE] [SEED] [--ranks N].
// KILLS is 50 unless given; ENGINE is one name, or all that are here and can. With --ranks a run is N processes, one of
// which is killed; the others must end with the status that says so. Exits 1 when anything differs but times.
import { parseArgs } from 'node:util';
import { register } from 'tsx/esm/api';

register();
const { killAndContinue, wholeRun } = await import('../test/resume/check.ts');
const { listEngines } = await import('../src/engine/select.ts');
const { TorchGenerator } = await import('../src/random/torch-generator.ts');

const { values, positionals } = parseArgs({
  options: { ranks: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const [kills = '50', only, seed = '1'] = positionals;
const ranks = Number(values.ranks);
// The TypeScript engine trains alone.
const present = (await listEngines())
  .filter(({ name, available }) => available && (ranks === 1 || name === 'native'))
  .map(({ name }) => name);
const engines = only === undefined ? present : [only];
/** Of a run, so that some are continued more than once. */
const MOST_KILLS = 3;

let [passed, failed] = [0, 0];
for (const engine of engines) {
  const generator = new TorchGenerator(Number(seed));
  const random = () => generator.random32() / 2 ** 32;
  const whole = await wholeRun(engine, ranks);
  try {
    for (let done = 0; done < Number(kills); ) {
      const wanted = Math.min(1 + Math.floor(random() * MOST_KILLS), Number(kills) - done);
      const trial = await killAndContinue(whole, wanted, random);
      done += Math.max(1, trial.kills.length);
      const good = trial.differences.length === 0;
      if (good) passed++;
      else failed++;
      const what = `${engine}, a checkpoint every ${trial.every}, killed at ${trial.kills.join(', then ')}`;
      console.log(`${good ? 'ok  ' : 'FAIL'} ${what}${trial.differences.map((line) => `\n     ${line}`).join('')}`);
    }
    console.log(`${engine}: ${kills} kills of ${ranks} rank(s)`);
  } finally {
    whole.project.remove();
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
