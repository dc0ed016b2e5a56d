/** Bad input as a user meets it: the code, the message, the exit status, and nothing half-written. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writePth } from '../../src/artifacts/checkpoint/pth.ts';
import { zipChunks } from '../../src/artifacts/checkpoint/zip-writer.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { ERROR_EXIT } from '../../src/errors.ts';
import { runCli } from '../cli/capture.ts';
import { type Finished, finished, NODE_ARGS, Project, pairLines } from './project.ts';

interface Case {
  readonly name: string;
  readonly set?: readonly string[];
  prepare?(here: Project): void;
  readonly code: ErrorCode;
  readonly message: RegExp;
  /** New files that may be there afterwards; none unless given. */
  readonly leaves?: RegExp;
}

/** A failure after the stages were opened is in their logs. */
const STAGE_LOGS = /^logs\/v3\/\w+\/\w\/(log\.log|events\.jsonl|run\.json)$/;

const CASES: readonly Case[] = [
  {
    name: 'missing pair file',
    set: ['data_config.dataloader.train_dataset=pairs/none.txt'],
    code: 'RELIC_PAIRS_NOT_FOUND',
    message: /pairs\/none\.txt/,
    leaves: STAGE_LOGS,
  },
  {
    name: 'wrong type',
    set: ['training_config.epochs=many'],
    code: 'RELIC_CONFIG_INVALID',
    message: /training_config\.epochs.*integer.*many/s,
  },
  {
    name: 'unknown mode',
    set: ['run_config.mode=full'],
    code: 'RELIC_CONFIG_INVALID',
    message: /Unsupported run mode: full/,
  },
  {
    name: 'unknown optimizer',
    set: ['training_config.optimizer.type=adamx'],
    code: 'RELIC_CONFIG_INVALID',
    message: /Unsupported optimizer type: adamx.*adamw/s,
  },
  {
    name: 'unknown activation',
    set: ['model_config.mlp_head.activation=gellu'],
    code: 'RELIC_CONFIG_INVALID',
    message: /model_config\.mlp_head\.activation.*gelu/s,
  },
  {
    name: 'd_model not divisible by heads',
    set: ['model_config.n_heads=3'],
    code: 'RELIC_CONFIG_INVALID',
    message: /d_model.*n_heads|n_heads.*d_model/s,
  },
  {
    name: 'unknown model',
    set: ['model_config.model=v33'],
    code: 'RELIC_CONFIG_INVALID',
    message: /Unknown model: v33/,
  },
  {
    name: 'empty split',
    prepare: (here) => here.write('pairs/valid.txt', '\n'),
    code: 'RELIC_PAIRS_EMPTY',
    message: /pairs\/valid\.txt/,
    leaves: STAGE_LOGS,
  },
  {
    name: 'label 2',
    prepare: (here) => here.write('pairs/test.txt', `${pairLines(3)}P1\tP2\t2\n`),
    code: 'RELIC_PAIRS_INVALID',
    message: /pairs\/test\.txt:4: label "2".* is not 0 or 1/,
    leaves: STAGE_LOGS,
  },
  {
    name: 'missing protein',
    set: [
      'data_config.embeddings.source=sequence',
      'data_config.embeddings.path=proteins.fasta',
      'model_config.input_dim=32',
    ],
    prepare: (here) => {
      const known = Array.from({ length: 9 }, (_, i) => `>P${i}\nMKTAYIAK\n`);
      here.write('proteins.fasta', known.join(''));
    },
    code: 'RELIC_EMBEDDING_MISSING',
    message: /1 protein.*pairs\/train\.txt:\d+: protein "P9"/s,
    leaves: STAGE_LOGS,
  },
  {
    name: 'wrong embedding width',
    set: ['data_config.embeddings.source=cache', 'data_config.embeddings.path=cache'],
    prepare: (here) => writeCache(here, 7, 0),
    code: 'RELIC_EMBEDDING_INVALID',
    message: /cache\/metadata\.json.*input_dim 8.*received 7/s,
    leaves: STAGE_LOGS,
  },
  {
    name: 'NaN in an embedding',
    set: ['data_config.embeddings.source=cache', 'data_config.embeddings.path=cache'],
    prepare: (here) => writeCache(here, 8, Number.NaN),
    code: 'RELIC_EMBEDDING_INVALID',
    message: /P4.*NaN|NaN.*P4/s,
    leaves: STAGE_LOGS,
  },
  {
    name: 'corrupt checkpoint',
    set: ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=bad.pth'],
    prepare: (here) => here.write('bad.pth', 'PK\u0003\u0004 but no more'),
    code: 'RELIC_CHECKPOINT_INVALID',
    message: /bad\.pth/,
  },
  {
    name: 'hostile checkpoint',
    set: ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=bad.pth'],
    prepare: (here) => {
      const pickle = Buffer.from(`cposix\nsystem\n(S'touch ${here.path('executed')}'\ntR.`);
      here.write('bad.pth', Buffer.concat([...zipChunks([{ name: 'archive/data.pkl', data: pickle }])]));
    },
    code: 'RELIC_CHECKPOINT_UNSAFE',
    message: /bad\.pth.*posix/s,
  },
  {
    name: 'missing checkpoint',
    set: ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=none.pth'],
    code: 'RELIC_CHECKPOINT_NOT_FOUND',
    message: /none\.pth/,
  },
  {
    name: 'checkpoint of another model',
    set: ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=bad.pth'],
    prepare: (here) =>
      writePth(here.path('bad.pth'), [{ name: 'weight', shape: [1], dtype: 'float32', data: new Float32Array(1) }]),
    code: 'RELIC_CHECKPOINT_MISMATCH',
    message: /cross_attention\.cls_token/,
  },
  {
    name: 'engine that is not there',
    set: ['device_config.engine=cuda'],
    code: 'RELIC_ENGINE_UNAVAILABLE',
    message: /device_config\.engine.*doctor/s,
  },
  {
    name: 'unwritable directory',
    prepare: (here) => here.write('logs', 'a file where a folder should be'),
    code: 'RELIC_IO',
    message: /logs/,
  },
  {
    name: 'CSV file with other columns',
    prepare: (here) => here.write('logs/v3/pretrain/p/training_step.csv', 'Epoch,Other\r\n1,2\r\n'),
    code: 'RELIC_CSV_MISMATCH',
    message: /training_step\.csv.*Other/s,
  },
];

/** A cache of ten proteins of three residues; protein P4 holds `value`. */
function writeCache(here: Project, width: number, value: number): void {
  const index: Record<string, string> = {};
  mkdirSync(here.path('cache'), { recursive: true });
  for (let i = 0; i < 10; i++) {
    index[`P${i}`] = `P${i}.pt`;
    const data = new Float32Array(3 * width).fill(i === 4 ? value : i);
    writePth(here.path(`cache/P${i}.pt`), [{ name: 'x', shape: [3, width], dtype: 'float32', data }]);
  }
  const metadata = {
    schema_version: 1,
    source: 'esm3',
    model_name: 'test',
    input_dim: width,
    max_sequence_length: 6,
    format: 'torch_pt_per_protein',
  };
  writeFileSync(here.path('cache/index.json'), JSON.stringify(index));
  writeFileSync(here.path('cache/metadata.json'), JSON.stringify(metadata));
}

const test = suite('e2e/bad-input');

function trainHere(...set: string[]): Promise<Finished> {
  return runCli('--config', 'config.yaml', ...set.flatMap((setting) => ['--set', setting]));
}

async function inProject(action: (here: Project) => Promise<void>): Promise<void> {
  const home = process.cwd();
  const here = new Project();
  process.chdir(here.dir);
  try {
    await action(here);
  } finally {
    process.chdir(home);
    here.remove();
  }
}

function assertRefused(result: Finished, code: ErrorCode, message: RegExp): void {
  assert.is(result.status, ERROR_EXIT[code], result.stderr);
  const at = result.stderr.indexOf(`relic-train: error [${code}] `);
  assert.ok(at >= 0, `no error ${code} in:\n${result.stderr}`);
  assert.match(result.stderr.slice(at), message);
  assert.not.match(result.stderr, /\n\s+at .*\.ts:\d+/, 'a stack is no message for a user');
}

for (const { name, set = [], prepare, code, message, leaves } of CASES) {
  test(name, () =>
    inProject(async (here) => {
      prepare?.(here);
      const before = here.made();
      // Faults of a config are found before anything else, so this process can play the program, which saves seconds.
      const train = code === 'RELIC_CONFIG_INVALID' ? trainHere : here.train.bind(here);
      assertRefused(await train(...set), code, message);
      const unexpected = here.made().filter((file) => !before.includes(file) && !leaves?.test(file));
      assert.equal(unexpected, []);
    }),
  );
}

test('missing config', () =>
  inProject(async (here) => {
    assertRefused(await here.run('--config', 'none.yaml'), 'RELIC_CONFIG_NOT_FOUND', /none\.yaml/);
    assert.equal(here.made(), []);
  }));

test('all faults of a config are told at once, with their places', () =>
  inProject(async (here) => {
    const text = readFileSync(here.path('config.yaml'), 'utf8');
    here.write('config.yaml', text.replace('epochs: 2', 'epochs: x').replace('d_model: 8', 'd_model: []'));
    const result = await here.train();
    assertRefused(result, 'RELIC_CONFIG_INVALID', /2 faults/);
    assert.match(result.stderr, /config\.yaml:\d+:\d+ model_config\.d_model/);
    assert.match(result.stderr, /config\.yaml:\d+:\d+ training_config\.epochs/);
  }));

test('an unknown key is a warning with the nearest name; on the command line it is an error', () =>
  inProject(async (here) => {
    const set = await here.train('training_config.epoch=3');
    assertRefused(
      set,
      'RELIC_CONFIG_INVALID',
      /training_config\.epoch: unknown key; did you mean training_config\.epochs\?/,
    );
    here.write('config.yaml', readFileSync(here.path('config.yaml'), 'utf8').replace('epochs: 2', 'epoch: 2'));
    const result = await here.run('describe', '--config', 'config.yaml');
    assert.is(result.status, 0, result.stderr);
    assert.match(result.stderr, /^relic-train: warning: .*training_config\.epoch.*epochs/m);
    assert.is(result.stderr.match(/warning/g)?.length, 1);
  }));

test('ragged lines are skipped and told by number', () =>
  inProject(async (here) => {
    here.write('pairs/train.txt', `P1\tP2\n${pairLines(32)}`);
    const { status, stderr } = await here.train('training_config.epochs=1', 'run_config.mode=train_only');
    assert.is(status, 0, stderr);
    assert.match(stderr, /WARNING .*pairs\/train\.txt.*line 1\b/);
  }));

test('no space on the disk', () =>
  inProject(async (here) => {
    // A limit on the size of files stands in for a full disk; the shell ignores the signal that comes with it.
    const limited = ['-c', 'trap "" XFSZ; ulimit -f 64; exec "$@"', 'sh', process.execPath, ...NODE_ARGS];
    const wide = ['model_config.d_model=64', 'run_config.mode=train_only'].flatMap((setting) => ['--set', setting]);
    const result = await finished(here.spawn('bash', [...limited, '--config', 'config.yaml', ...wide]));
    assertRefused(result, 'RELIC_NO_SPACE', /best_model\.pth/);
    assert.equal(
      here.made().filter((file) => file.endsWith('.tmp') || file.endsWith('.pth')),
      [],
    );
  }));

test.run();
