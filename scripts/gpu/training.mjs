// Trains configs/v3_hpc.yaml on simulated data through the program itself: once whole, and once ended by SIGTERM in
// the middle of an epoch and continued, which must leave the same files: node scripts/gpu/training.mjs [ENGINE].
// ENGINE is cuda unless given; another one runs on the CPU, without mixed precision.
import { readFileSync } from 'node:fs';
import { register } from 'tsx/esm/api';

register();
const { finished } = await import('../../test/e2e/project.ts');
const { PRESET_SETTINGS, presetPath, presetProject } = await import('../../test/e2e/presets.ts');
const { differences } = await import('../../test/resume/check.ts');
const { EXIT } = await import('../../src/errors.ts');

const engine = process.argv[2] ?? 'cuda';
const settings = [
  `device_config.engine=${engine}`,
  `device_config.device=${engine === 'cuda' ? 'cuda' : 'cpu'}`,
  // One process: ranks are what mpirun or srun starts.
  'device_config.ddp_enabled=false',
  `device_config.use_mixed_precision=${engine === 'cuda'}`,
  ...PRESET_SETTINGS,
  'training_config.logging.heartbeat_every_n_steps=1',
].flatMap((each) => ['--set', each]);

let [passed, failed] = [0, 0];
function check(name, good, detail = '') {
  if (good) passed++;
  else failed++;
  console.log(`${good ? 'ok  ' : 'FAIL'} ${name}${good ? '' : `: ${detail}`}`);
}

const [whole, broken] = [presetProject(), presetProject()];
try {
  const command = ['--config', presetPath('v3_hpc'), ...settings];
  const first = await whole.run(...command);
  check('a whole run: pretraining, finetuning, evaluation', first.status === 0, first.stderr);
  const engineLine = /engine_selected.*/.exec(first.stderr)?.[0] ?? '';
  console.log(engineLine);

  const child = broken.start(command);
  let told = '';
  let sent = false;
  child.stderr.on('data', (chunk) => {
    told += chunk;
    if (sent || !/Epoch 2 step 2\//.test(told)) return;
    sent = true;
    child.kill('SIGTERM');
  });
  const { status, stderr } = await finished(child);
  check('SIGTERM in the second epoch saves the run', sent && status === EXIT.preempted, `status ${status}: ${stderr}`);
  const second = await broken.run(...command, '--resume', 'auto');
  check('and --resume auto finishes it', second.status === 0, second.stderr);
  const apart = failed === 0 ? differences(whole, broken) : ['not compared'];
  check('both runs leave the same files', apart.length === 0, apart.join('\n'));
  if (failed === 0) console.log(readFileSync(whole.path('logs/v3/evaluate/e/evaluate.csv'), 'utf8'));
} finally {
  whole.remove();
  broken.remove();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
