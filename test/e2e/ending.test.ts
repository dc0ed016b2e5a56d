/**
 * A run that ends at any moment of its life, on the native engine: it must end with the status that was meant, tell
 * nothing but its log, and leave no checkpoint or the whole one of an earlier epoch.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPth } from '../../src/artifacts/checkpoint/pth.ts';
import { nativeBinary } from '../engine/engines.ts';
import { NODE_ARGS, Project } from './project.ts';

const test = suite('e2e/ending');
const END_AT = new URL('./end-at.mjs', import.meta.url).href;
const END_WORKER = fileURLToPath(new URL('./end-worker.mjs', import.meta.url));
const BEST = 'models/v3/pretrain/p/best_model.pth';
const SETTINGS = [
  'run_config.mode=train_only',
  'device_config.engine=native',
  'device_config.threads=2',
  // Steps of some milliseconds.
  'data_config.max_sequence_length=64',
  'model_config.d_model=64',
  // The loss of what it is trained on falls in the second epoch, so that there is a second checkpoint.
  'data_config.dataloader.valid_dataset=pairs/train.txt',
  'training_config.monitor_metric=loss',
  'training_config.optimizer.lr=0.001',
];
const LOG_LINE = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) |INFO:__main__:)/;

interface Ended {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What stderr has besides log lines. */
  readonly noise: readonly string[];
}

function trained(project: Project, endAt: string): Promise<Ended> {
  const options = ['--config', 'config.yaml', ...SETTINGS].flatMap((each, i) => (i < 2 ? [each] : ['--set', each]));
  const [imported, tsx, cli] = NODE_ARGS;
  const program = endAt.includes(':terminate')
    ? [END_WORKER, pathToFileURL(cli).href]
    : [imported, tsx, '--import', END_AT, cli];
  const child = project.spawn(process.execPath, [...program, ...options], { END_AT: endAt });
  let stderr = '';
  child.stdout?.resume();
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve) =>
    child.on('close', (status, signal) => {
      const noise = stderr.split('\n').filter((line) => line !== '' && !LOG_LINE.test(line));
      resolve({ status, signal, noise });
    }),
  );
}

if (nativeBinary === undefined) {
  test('no binary of the native engine is here, so there is nothing to end', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  const moments = ['trainStep', 'evaluate', 'readState', 'writeSync', 'renameSync'];
  const endings = [
    // In the first epoch, before there is a checkpoint; then in the second.
    'writeSync:exit:0',
    ...moments.flatMap((moment) => [`${moment}:exit:1`, `${moment}:terminate:1`]),
    'trainStep:throw:1',
    'evaluate:throw:1',
    'writeSync:kill:1',
    'renameSync:kill:1',
  ];
  for (const endAt of endings) {
    test(endAt, async () => {
      const project = new Project();
      try {
        const { noise, ...ended } = await trained(project, endAt);
        const [, way, saves] = endAt.split(':');
        if (way === 'throw') {
          assert.equal(ended, { status: 1, signal: null });
          assert.match(noise.join('\n'), /Error: on purpose/);
        } else {
          const expected = way === 'kill' ? { status: null, signal: 'SIGKILL' } : { status: 7, signal: null };
          assert.equal({ ...ended, noise }, { ...expected, noise: [] });
        }
        if (saves === '0') {
          assert.not.ok(existsSync(project.path(BEST)));
        } else {
          assert.equal(readFileSync(project.path(BEST)), readFileSync(project.path('saved.pth')));
          assert.ok(readPth(project.path(BEST)).tensors.size > 0);
        }
      } finally {
        project.remove();
      }
    });
  }
}

test.run();
