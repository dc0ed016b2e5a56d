/** The preset for clusters leaves what the one for a laptop leaves; run where RELIC_RUN_HPC_E2E is 1 (contract 2). */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nativeBinary } from '../engine/engines.ts';
import { COMPAT } from '../golden/compare.ts';
import { hpcRun, localRun, shapeDifferences } from './hpc.ts';
import { Project } from './project.ts';

const test = suite('e2e/hpc');
const projects: Project[] = [];
test.after(() => {
  for (const each of projects) each.remove();
});

const EVENTS = [
  { level: 30, time: 1, event: 'epoch_start', epoch: 1 },
  { level: 30, time: 2, event: 'ranks_joined', ranks: 2 },
  { level: 30, time: 3, event: 'heartbeat', lr: 0.1, collective_share: 0.2 },
  { level: 30, time: 4, event: 'checkpoint_saved_best', path: 'x' },
];

function run(change: { events?: readonly object[]; log?: string; header?: string; file?: string } = {}): string {
  const { events = EVENTS, log = 'epoch_start | epoch=1 | total_epochs=2', header = 'Epoch,Loss', file } = change;
  const made = new Project();
  projects.push(made);
  made.write('logs/events.jsonl', events.map((each) => `${JSON.stringify(each)}\n`).join(''));
  made.write('logs/log.log', `2026-11-24 01:32:57 INFO relic.v3.pretrain.p.rank0 - ${log}\n`);
  made.write('logs/training_step.csv', `${header}\r\n1,${Math.random()}\r\n`);
  made.write(`models/${file ?? 'best_model.pth'}`, String(Math.random()));
  return made.dir;
}

test('values, ranks and better epochs are no difference', () => {
  const other = [{ ...EVENTS[0], epoch: 7 }, { level: 30, time: 9, event: 'heartbeat', lr: 1 }, EVENTS[3], EVENTS[3]];
  assert.equal(shapeDifferences(run(), run({ events: other, log: 'epoch_start | epoch=9 | total_epochs=3' })), []);
});

for (const [what, change, told] of [
  [
    'an event',
    { events: EVENTS.slice(0, 3) },
    /events\.jsonl, record 3: 30 checkpoint_saved_best.* no more in the second/,
  ],
  ['their order', { events: [EVENTS[2], EVENTS[0], EVENTS[3]] }, /events\.jsonl, record 1/],
  [
    'a level',
    { events: [{ ...EVENTS[0], level: 40 }, ...EVENTS.slice(1)] },
    /record 1: 30 epoch_start.*40 epoch_start/,
  ],
  [
    'a field',
    { log: 'epoch_start | epoch=1' },
    /log\.log, record 1: INFO epoch_start: epoch total_epochs in the first/,
  ],
  ['a CSV header', { header: 'Epoch,Val Loss' }, /training_step\.csv, record 1: Epoch,Loss in the first/],
  ['a file', { file: 'checkpoint_epoch_001.pth' }, /best_model\.pth is in the first only/],
] as const) {
  test(`${what} that differs is told`, () => {
    assert.match(shapeDifferences(run(), run(change)).join('\n'), told);
  });
}

if (process.env.RELIC_RUN_HPC_E2E !== '1' || nativeBinary === undefined) {
  const why = nativeBinary === undefined ? 'the native engine is not here' : 'RELIC_RUN_HPC_E2E is not 1';
  console.log(`left out: configs/v3_hpc.yaml beside configs/v3_local_cpu.yaml (${why})`);
} else {
  for (const compat of ['none', COMPAT]) {
    test(`configs/v3_hpc.yaml on GPUs or ranks leaves what v3_local_cpu.yaml leaves: compat ${compat}`, async () => {
      const local = await localRun(compat);
      projects.push(local);
      const { project } = await hpcRun(compat);
      projects.push(project);
      assert.equal(shapeDifferences(local.dir, project.dir), []);
    });
  }
}

test.run();
