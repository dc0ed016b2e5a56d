import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planPipeline } from '../../src/stages/plan.ts';
import { assertClose, assertRejectsCode } from '../assert.ts';
import { inProject } from './project.ts';

const test = suite('plan');

test('tells what a run would do, and writes nothing', () =>
  inProject(async (project) => {
    const plan = await planPipeline(project.load('device_config.engine=typescript'));
    assert.equal(project.made(), []);
    assert.equal(
      plan.stages.map(({ stage, runId, trains, csvPath }) => [stage, runId, trains, csvPath]),
      [
        ['pretrain', 'p', true, 'logs/v3/pretrain/p/training_step.csv'],
        ['finetune', 'f', true, 'logs/v3/finetune/f/training_step.csv'],
        ['evaluate', 'e', false, 'logs/v3/evaluate/e/evaluate.csv'],
      ],
    );
    assert.equal([plan.mode, plan.epochs, plan.stepsPerStage, plan.ranks], ['full_pipeline', 2, 8, 1]);
    assert.equal(plan.batches.train, { batches: 4, samples: 32 });
    assert.equal([plan.model.name, plan.engine.name, plan.checkpointPath], ['v3', 'typescript', null]);
    assert.is(plan.splits.splits[0].positives, 16);
    assert.equal([plan.embeddings.ready, plan.embeddings.proteins, plan.embeddings.residues], [false, 10, 60]);
    assert.ok(plan.embeddings.bytes > 60 * 8 * 4);
  }));

test('agrees with the run: parameters, and the store that was packed', () =>
  inProject(async (project) => {
    const { model } = await planPipeline(project.load());
    await project.runHere(['run_config.mode=train_only']);
    const events = project.events('pretrain', 'p');
    assert.is(events.find(({ event }) => event === 'model_initialized')?.parameter_count, model.parameters);
    const { embeddings } = await planPipeline(project.load());
    assert.is(embeddings.ready, true);
    assert.is(embeddings.path, events.find(({ event }) => event === 'store_packed')?.path);
  }));

test('cost grows with epochs, and a step with the batch', () =>
  inProject(async (project) => {
    const flops = async (...set: string[]) => (await planPipeline(project.load(...set))).flops;
    const base = await flops('run_config.mode=train_only');
    const longer = await flops('run_config.mode=train_only', 'training_config.epochs=4');
    assertClose(longer.run / base.run, 2, { rel: 1e-9 });
    const wider = await flops('run_config.mode=train_only', 'training_config.batch_size=16');
    assertClose(wider.trainStep / base.trainStep, 2, { rel: 0.01 });
    // Four steps an epoch, and a validation after each.
    assert.ok(
      base.run > 1.02 * 8 * base.trainStep && base.run < 1.2 * 8 * base.trainStep,
      `${base.run / base.trainStep}`,
    );
    const { run } = await flops();
    assert.ok(run > 2 * base.run && run < 2.2 * base.run, `${run / base.run}`);
  }));

const SIMULATED = [
  'data_config.benchmark={root_dir: demo, simulate: {proteins: 30, pairs: 60, domains: 3}}',
  'data_config.dataloader.train_dataset=demo/train.txt',
  'data_config.dataloader.valid_dataset=demo/valid.txt',
  'data_config.dataloader.test_dataset=demo/test.txt',
  'data_config.embeddings.source=sequence',
  'data_config.embeddings.path=demo/proteins.fasta',
  'model_config.input_dim=64',
];

test('a demo that is not simulated yet is planned all the same', () =>
  inProject(async (project) => {
    const before = await planPipeline(project.load(...SIMULATED));
    assert.equal(project.made(), []);
    assert.ok(before.simulated.includes('demo/train.txt'));
    assert.is(before.embeddings.path, null);
    await project.runHere([...SIMULATED, 'run_config.mode=train_only']);
    const after = await planPipeline(project.load(...SIMULATED));
    assert.equal(after.simulated, []);
    assert.equal(after.splits, before.splits);
    assert.equal(after.flops, before.flops);
    assert.equal(after.embeddings.residues, before.embeddings.residues);
  }));

test('what would stop the run stops the plan', () =>
  inProject(async (project) => {
    const plan = (...set: string[]) => planPipeline(project.load(...set));
    await assertRejectsCode(plan('data_config.dataloader.test_dataset=none.txt'), 'RELIC_PAIRS_NOT_FOUND');
    await assertRejectsCode(
      plan('run_config.mode=eval_only', 'run_config.load_checkpoint_path=none.pth'),
      'RELIC_CHECKPOINT_NOT_FOUND',
    );
    await assertRejectsCode(plan('device_config.engine=cuda'), 'RELIC_ENGINE_UNAVAILABLE');
    project.write('logs/v3/pretrain/p/training_step.csv', 'a,b\r\n');
    await assertRejectsCode(plan(), 'RELIC_CSV_MISMATCH');
    project.write('models', 'a file where a directory must be');
    await assertRejectsCode(plan('run_config.pretrain_run_id=q'), 'RELIC_IO');
  }));

test.run();
