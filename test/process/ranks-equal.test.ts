/**
 * However many ranks have a run's batches, it learns the same: losses within rounding, metrics to the last digit. What each
 * rank draws, keeps and is dealt for itself is compared with the same ranks in one process; without that, with one rank.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Project } from '../e2e/project.ts';
import { nativeBinary } from '../engine/engines.ts';
import { eventfulProject } from '../resume/check.ts';
import { installProgram } from './observed.ts';
import { trainMerged } from './one-rank.ts';
import { launchByVariables, optionsOf } from './ranks.ts';

const test = suite('process/ranks-equal');
const projects: Project[] = [];
test.after(() => {
  for (const each of projects) each.remove();
});

/** Of losses, relative: ranks form their sums in another order. */
const LOSSES = 1e-5;
const SETTINGS = [
  'training_config.logging.validation_metrics=[auprc, auroc, accuracy, f1, mcc]',
  // The gradient of a bias before a batch norm is nothing but rounding, and Adam makes whole steps of it.
  'model_config.mlp_head.norm=layernorm',
];
/** Proteins of unlike lengths, so that there is something to balance. */
const SEQUENCES = [
  'data_config.embeddings.source=sequence',
  'data_config.embeddings.path=proteins.fasta',
  'data_config.max_sequence_length=24',
  'model_config.input_dim=32',
];
const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';

function project(ranks: number): Project {
  const made = eventfulProject('native', ranks);
  projects.push(made);
  installProgram(made);
  const sequence = (i: number) =>
    Array.from({ length: 3 + 2 * i }, (_, at) => RESIDUES[(7 * at + 3 * i) % 20]).join('');
  made.write('proteins.fasta', Array.from({ length: 10 }, (_, i) => `>P${i}\n${sequence(i)}\n`).join(''));
  return made;
}

async function byRanks(here: Project, ranks: number, settings: readonly string[]): Promise<Project> {
  const { ended } = await launchByVariables(here, ranks, { settings });
  for (const { status, stderr } of await ended) assert.is(status, 0, stderr);
  return here;
}

/** The rows of these CSV files by column, but for times. */
function rows(here: Project, files: readonly string[]): Record<string, string>[] {
  return files.flatMap((file) => {
    const read = parse(readFileSync(here.path('logs/v3', file)), { columns: true }) as Record<string, string>[];
    return read.map(({ 'Epoch Time': _, ...row }) => row);
  });
}

function assertSame(expected: Record<string, string>[], received: Record<string, string>[]): void {
  const exact = (row: Record<string, string>) => Object.entries(row).filter(([column]) => !column.endsWith(' Loss'));
  assert.equal(received.map(exact), expected.map(exact));
  expected.forEach((row, i) => {
    for (const [column, value] of Object.entries(row)) {
      if (!column.endsWith(' Loss')) continue;
      const apart = Math.abs(Number(received[i][column]) / Number(value) - 1);
      assert.ok(apart <= LOSSES, `row ${i + 1} ${column}: expected ${value}, received ${received[i][column]}`);
    }
  });
}

const PRETRAINING = join('pretrain', 'p', 'training_step.csv');
const ALL = [PRETRAINING, join('finetune', 'f', 'training_step.csv'), join('evaluate', 'e', 'evaluate.csv')];

if (nativeBinary === undefined) {
  console.log('left out: ranks beside one process (the native engine is not here)');
  test('there is no native engine on this machine, and that is told', () => {
    assert.is(nativeBinary, undefined);
  });
} else {
  for (const [ranks, balance] of [
    [2, 'tokens'],
    [3, 'pairs'],
    [4, 'tokens'],
  ] as const) {
    test(`${ranks} ranks, ${balance} balanced, each with its own dropout and hard examples: as in one process`, async () => {
      const settings = [...SEQUENCES, ...SETTINGS, `training_config.balance_ranks=${balance}`];
      const inOne = project(ranks);
      const simulated = ['--simulate-ranks', String(ranks), ...optionsOf(settings)];
      const { status, stderr } = await inOne.run('--config', 'config.yaml', ...simulated);
      assert.is(status, 0, stderr);
      assertSame(rows(inOne, ALL), rows(await byRanks(project(ranks), ranks, settings), ALL));
    });
  }

  /** Pairs of a step over all ranks: each has a whole part of them. */
  const PAIRS = 12;
  const SAME = [
    ...SETTINGS,
    'run_config.mode=train_only',
    'model_config.regularization={dropout: 0}',
    'model_config.mlp_head.dropout=0',
    'data_config.dataloader.sampling={strategy: none}',
    'device_config.ddp_enabled=true',
    'device_config.threads=1',
  ];

  test('1, 2, 3 and 4 ranks with the same batches', async () => {
    const batches = (ranks: number) => [...SAME, `training_config.batch_size=${PAIRS / ranks}`];
    const expected = await trainMerged(project(1).dir, batches(2), 2);
    assert.is(expected.length, 3);
    for (const ranks of [2, 3, 4]) {
      const found = rows(await byRanks(project(1), ranks, batches(ranks)), [PRETRAINING]);
      assertSame(
        expected,
        found.map(({ Epoch: _, ...row }) => row),
      );
    }
  });
}

test.run();
