/** Runs that are killed and continued as processes, on every engine present; signals; a disk that is full. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { listEngines } from '../../src/engine/select.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { killAndContinue, wholeRun } from '../resume/check.ts';
import { finished, NODE_ARGS, Project } from './project.ts';

const test = suite('e2e/resume');
const projects: Project[] = [];
function project(): Project {
  projects.push(new Project());
  return projects[projects.length - 1];
}
test.after(() => {
  for (const each of projects) each.remove();
});

const engines = (await listEngines()).filter(({ available }) => available).map(({ name }) => name);
const LONG = ['training_config.epochs=100000', 'training_config.early_stopping_patience=100000'];
/** Whatever the epoch a run starts in, and however far it comes before a signal reaches it. */
const EPOCHS_TOLD = /(Epoch \d+ step.*){5}/s;
const setting = (set: readonly string[]) => set.flatMap((each) => ['--set', each]);

/** Engines and how many processes run them; the native engine alone trains with others on any machine. */
const ways = [
  ...engines.map((engine) => [engine, 1] as const),
  ...engines.filter((engine) => engine === 'native').map((engine) => [engine, 3] as const),
];
for (const [engine, ranks] of ways) {
  test(`${engine}, ${ranks} rank(s): killed at random moments and continued, as if nothing had happened`, async () => {
    const whole = await wholeRun(engine, ranks);
    const generator = new TorchGenerator(5);
    const random = () => generator.random32() / 2 ** 32;
    let kills = 0;
    try {
      while (kills < 4) {
        const trial = await killAndContinue(whole, 2, random);
        assert.equal(trial.differences, [], `${trial.every}, killed at ${trial.kills}`);
        assert.ok(trial.kills.length > 0);
        kills += trial.kills.length;
      }
    } finally {
      whole.project.remove();
    }
  });
}

/** Trains for long, and sends `signals` once some epochs have told of their steps. */
async function stop(here: Project, signals: readonly NodeJS.Signals[], ...args: string[]) {
  const child = here.start(['--config', 'config.yaml', ...setting(LONG), ...args]);
  let seen = '';
  child.stderr?.on('data', (chunk) => {
    if (EPOCHS_TOLD.test(seen)) return;
    seen += chunk;
    if (EPOCHS_TOLD.test(seen)) for (const signal of signals) child.kill(signal);
  });
  return finished(child);
}

for (const [signal, status] of [
  ['SIGUSR1', 85],
  ['SIGTERM', 85],
  ['SIGINT', 130],
] as const) {
  test(`${signal} saves, ends with ${status}, and the run goes on from there`, async () => {
    const here = project();
    const first = await stop(here, [signal]);
    assert.is(first.status, status, first.stderr.slice(-2000));
    assert.match(first.stderr, /start again with --resume auto/);
    assert.not.match(first.stderr, /Debugger listening/);
    const { state } = JSON.parse(readFileSync(here.path('models/v3/pretrain/p/last/training.json'), 'utf8'));
    const second = await stop(here, [signal], '--resume', 'models/v3/pretrain/p');
    assert.is(second.status, status, second.stderr.slice(-2000));
    const from = new RegExp(`run_resumed .*epoch=${state.epoch + 1} .*step=${state.step}\\b`);
    assert.match(second.stderr, from);
    const rows = readFileSync(here.path('logs/v3/pretrain/p/training_step.csv'), 'utf8').trimEnd().split('\r\n');
    assert.equal(
      rows.slice(1).map((row) => Number(row.split(',')[0])),
      rows.slice(1).map((_, i) => i + 1),
    );
  });
}

test('a second signal ends the process at once', async () => {
  const { status } = await stop(project(), ['SIGTERM', 'SIGINT']);
  // Two signals of one moment may arrive in either order.
  assert.ok(status === 130 || status === 143, String(status));
});

test('a SIGUSR1 before the program is ready stops it too, and opens no debugger', async () => {
  const here = project();
  const child = here.start(['--config', 'config.yaml', ...setting(LONG)]);
  let sent = false;
  child.stderr?.on('data', () => {
    if (!sent) sent = child.kill('SIGUSR1');
  });
  const { status, stderr } = await finished(child);
  assert.is(status, 85, stderr.slice(-2000));
  assert.not.match(stderr, /Debugger listening/);
});

test('a checkpoint that finds no room: an error that names the path, and the one before is whole', async () => {
  const here = project();
  const every = ['run_config.checkpoint_every=1 step', 'run_config.mode=train_only'];
  const first = await stop(here, ['SIGTERM'], ...setting(every));
  assert.is(first.status, 85, first.stderr.slice(-2000));
  // A file size limit stands for a full disk: the weights of this model fit, its moments do not.
  const weights = readFileSync(here.path('models/v3/pretrain/p/last/model.pth')).length;
  const blocks = Math.ceil(weights / 1024) + 2;
  const line = [process.execPath, ...NODE_ARGS, '--config', 'config.yaml', ...setting([...LONG, ...every])];
  const limited = `ulimit -f ${blocks}; exec "$@" 2> /dev/null`;
  const { status } = await finished(here.spawn('bash', ['-c', limited, 'sh', ...line, '--resume', 'auto']));
  assert.is(status, 5);
  const log = readFileSync(here.path('logs/v3/pretrain/p/events.jsonl'), 'utf8');
  assert.match(log, /"code":"RELIC_NO_SPACE","message":"models\/v3\/pretrain\/p\/\.last\.\d+\.tmp/);
  const files = readdirSync(here.path('models/v3/pretrain/p')).sort();
  assert.equal(files, ['best_model.pth', 'last', 'last.backup']);
  const again = await stop(here, ['SIGTERM'], ...setting(every), '--resume', 'auto');
  assert.is(again.status, 85, again.stderr.slice(-2000));
  assert.match(again.stderr, /run_resumed \| checkpoint=models\/v3\/pretrain\/p\/last /);
});

test('a complete run is left alone with status 0, and changed settings are refused by name', async () => {
  const here = project();
  const only = ['--set', 'run_config.mode=train_only'];
  assert.is((await here.run('--config', 'config.yaml', ...only, '--run-id', 'x')).status, 0);
  const done = await here.run('--config', 'config.yaml', ...only, '--resume', 'auto');
  assert.is(done.status, 0, done.stderr);
  assert.match(done.stderr, /INFO:relic_train:the run is complete, nothing is left to resume: logs\/v3\/pretrain\/p/);
  const other = await here.run('--config', 'config.yaml', '--resume', 'auto', ...only, '--set', 'run_config.seed=9');
  assert.is(other.status, 2);
  assert.match(other.stderr, /\[RELIC_CONFIG_INVALID\].*\n {2}run_config\.seed: was 3 \(number\), is 9 \(number\)/);
  assert.not.ok(existsSync(here.path('logs/v3/pretrain/x')));
});

test.run();
