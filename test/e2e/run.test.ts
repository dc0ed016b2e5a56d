/** The main job as a process: what it prints, what it leaves behind, how it is stopped. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readCheckpoint } from '../../src/artifacts/checkpoint/load.ts';
import { finished, Project } from './project.ts';

const test = suite('e2e/run');
const projects: Project[] = [];
function project(): Project {
  projects.push(new Project());
  return projects[projects.length - 1];
}
function records(path: string): Record<string, string>[] {
  return parse(readFileSync(path), { columns: true }) as Record<string, string>[];
}
test.after(() => {
  for (const each of projects) each.remove();
});

test('trains, finetunes, evaluates: every file is there and can be read', async () => {
  const here = project();
  const { status, stdout, stderr } = await here.train('run_config.save_best_only=false');
  assert.is(status, 0, stderr);
  assert.is(stdout, '');
  const logs = ['log.log', 'events.jsonl', 'run.json'];
  const weights = ['best_model.pth', 'checkpoint_epoch_001.pth', 'checkpoint_epoch_002.pth'];
  for (const [stage, id] of [
    ['pretrain', 'p'],
    ['finetune', 'f'],
  ]) {
    for (const name of [...logs, 'training_step.csv'])
      assert.ok(existsSync(here.path(`logs/v3/${stage}/${id}/${name}`)), name);
    for (const name of weights) {
      assert.ok(readCheckpoint(here.path(`models/v3/${stage}/${id}/${name}`)).has('cross_attention.cls_token'), name);
    }
    const rows = records(here.path(`logs/v3/${stage}/${id}/training_step.csv`));
    assert.equal(
      rows.map((row) => row.Epoch),
      ['1', '2'],
    );
  }
  for (const name of [...logs, 'evaluate.csv']) assert.ok(existsSync(here.path(`logs/v3/evaluate/e/${name}`)), name);
  const [row] = records(here.path('logs/v3/evaluate/e/evaluate.csv'));
  assert.is(row.split, 'test');
  assert.ok(Number(row.auroc) >= 0 && Number(row.auroc) <= 1);
  for (const line of readFileSync(here.path('logs/v3/pretrain/p/events.jsonl'), 'utf8').trim().split('\n'))
    JSON.parse(line);
  assert.is(JSON.parse(readFileSync(here.path('logs/v3/evaluate/e/run.json'), 'utf8')).seed, 3);
  assert.equal(
    here.made().filter((name) => name.endsWith('.tmp')),
    [],
  );

  // A pipe gets the log lines and nothing that moves a cursor.
  assert.not(stderr.includes('\r') || stderr.includes('\u001b'));
  assert.is(stderr.split('INFO:__main__:Loaded config: config.yaml\n').length, 2);
  assert.match(stderr, /INFO relic\.v3\.evaluate\.e\.rank0 - evaluation_csv_written/);
});

test('--dry-run prints the plan and writes nothing', async () => {
  const here = project();
  const { status, stdout, stderr } = await here.run('--config', 'config.yaml', '--dry-run');
  assert.is(status, 0, stderr);
  for (const text of [
    'logs/v3/pretrain/p',
    'models/v3/finetune/f',
    'logs/v3/evaluate/e',
    '32',
    'parameters',
    'estimate',
  ]) {
    assert.ok(stdout.includes(text), `${text} is not in\n${stdout}`);
  }
  assert.equal(here.made(), []);
});

test('two simulated ranks share the work', async () => {
  const here = project();
  const { status, stderr } = await here.run(
    '--config',
    'config.yaml',
    '--simulate-ranks',
    '2',
    '--set',
    'device_config.ddp_enabled=true',
  );
  assert.is(status, 0, stderr);
  assert.match(stderr, /dataloaders_ready .*train_batches=2 /);
});

for (const [signal, expected, code] of [
  ['SIGINT', 130, 'RELIC_INTERRUPTED'],
  ['SIGTERM', 85, 'RELIC_PREEMPTED'],
  ['SIGUSR1', 85, 'RELIC_PREEMPTED'],
] as const) {
  test(`${signal} in mid-training leaves whole files`, async () => {
    const here = project();
    const child = here.start([
      '--config',
      'config.yaml',
      '--set',
      'training_config.epochs=100000',
      '--set',
      'training_config.early_stopping_patience=100000',
    ]);
    let seen = '';
    child.stderr?.on('data', (chunk) => {
      if (seen.includes('Epoch 3 step')) return;
      seen += chunk;
      if (seen.includes('Epoch 3 step')) child.kill(signal);
    });
    const { status, stderr } = await finished(child);
    assert.is(status, expected, stderr.slice(-2000));
    assert.match(stderr, new RegExp(`relic-train: error \\[${code}\\] `));
    assert.ok(readCheckpoint(here.path('models/v3/pretrain/p/best_model.pth')).size > 0);
    const csv = readFileSync(here.path('logs/v3/pretrain/p/training_step.csv'), 'utf8');
    assert.ok(csv.endsWith('\r\n') && parse(csv).length >= 3);
    assert.ok(readFileSync(here.path('logs/v3/pretrain/p/log.log'), 'utf8').endsWith('\n'));
    assert.equal(
      here.made().filter((name) => name.endsWith('.tmp')),
      [],
    );
    assert.not(existsSync(here.path('logs/v3/finetune/f/training_step.csv')));
  });
}

test('a reader that goes away early is no failure', async () => {
  const here = project();
  const child = here.start(['describe', '--config', 'config.yaml']);
  child.stdout?.destroy();
  const { status, stderr } = await finished(child);
  assert.is(status, 0, stderr);
  assert.is(stderr, '');
});

test('help and version load neither pino, typebox nor yaml', async () => {
  const here = project();
  for (const option of ['--help', '--version']) {
    const { status, stdout, stderr } = await finished(here.start([option], { NODE_DEBUG: 'esm,module' }));
    assert.is(status, 0, stderr);
    assert.ok(stdout.length > 0);
    assert.not.match(stderr, /node_modules\/(pino|typebox|yaml)\//);
  }
  assert.ok(statSync(here.dir).isDirectory());
});

test.run();
