import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildV3 } from '../../src/model/v3.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { saveState } from '../../src/stages/checkpoints.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { pairLines } from '../e2e/project.ts';
import { COMPAT, inProject, type TinyProject } from './project.ts';

const test = suite('evaluation stage');
const ONLY = ['run_config.mode=eval_only', 'run_config.load_checkpoint_path=weights.pth'];

/** Saves weights that were drawn, not trained. */
function withWeights(project: TinyProject): void {
  const { config } = project.load();
  const program = buildV3(config.model_config, { posWeight: 1, labelSmoothing: 0 });
  saveState('weights.pth', program, initialState(program, new TorchGenerator(5)));
}

const row = (project: TinyProject) => project.read('logs/v3/evaluate/e/evaluate.csv').trimEnd().split('\r\n').at(-1);

test('writes the nine metrics of the test split', () =>
  inProject(async (project) => {
    withWeights(project);
    const { stages } = await project.runHere(ONLY);
    assert.is(stages.length, 1);
    assert.equal([stages[0].checkpointPath, stages[0].csvPath], ['weights.pth', 'logs/v3/evaluate/e/evaluate.csv']);
    const [header] = project.read('logs/v3/evaluate/e/evaluate.csv').split('\r\n');
    assert.is(header, 'split,auroc,auprc,accuracy,sensitivity,specificity,precision,recall,f1,mcc');
    const values = (row(project) ?? '').split(',').slice(1).map(Number);
    assert.equal(values, [...(stages[0].metrics?.values() ?? [])]);
    assert.equal(
      project
        .logLines('evaluate', 'e')
        .slice(-7)
        .map((line) => line.split(' ')[1]),
      [
        'stage_boundary_start',
        'stage_start',
        'checkpoint_load_complete',
        'evaluation_metrics',
        'evaluation_csv_written',
        'stage_complete',
        'stage_boundary_end',
      ],
    );
  }));

test('a test split of one class leaves cells empty and warns; under compat it scores 0.0', () =>
  inProject(async (project) => {
    withWeights(project);
    project.write('pairs/test.txt', 'P0\tP1\t1\nP2\tP3\t1\n');
    await project.runHere(ONLY);
    assert.match(row(project) ?? '', /^test,,,/);
    const undefinedMetrics = project.events('evaluate', 'e').filter(({ event }) => event === 'metric_undefined');
    assert.equal(
      undefinedMetrics.map(({ metric }) => metric),
      ['auroc', 'auprc'],
    );
    assert.match(project.logLines('evaluate', 'e').join('\n'), 'auprc=nan | auroc=nan');

    await project.runHere([...ONLY, COMPAT]);
    assert.match(row(project) ?? '', /^test,0\.0,0\.0,/);
  }));

test('the threshold decides the counting metrics', () =>
  inProject(async (project) => {
    withWeights(project);
    const accuracyAt = async (threshold: string | number) => {
      await project.runHere([...ONLY, `evaluate.decision_threshold=${threshold}`]);
      return (row(project) ?? '').split(',').slice(4, 6).join();
    };
    assert.is(await accuracyAt(0.0001), '1.0,0.0');
    assert.is(await accuracyAt(0.9999), '0.0,1.0');
  }));

test('best_f1_on_valid chooses the threshold on the validation split and logs it', () =>
  inProject(async (project) => {
    withWeights(project);
    project.write('pairs/valid.txt', pairLines(24, 1));
    await project.runHere([...ONLY, 'evaluate.decision_threshold=best_f1_on_valid']);
    const chosen = project.events('evaluate', 'e').find(({ event }) => event === 'decision_threshold');
    const threshold = Number(chosen?.threshold);
    assert.ok(threshold > 0 && threshold < 1 && threshold !== 0.5, `${threshold}`);
    const f1 = () => (row(project) ?? '').split(',')[8];
    const best = f1();
    await project.runHere([...ONLY, `evaluate.decision_threshold=${threshold}`]);
    assert.is(f1(), best);
  }));

test('without a positive validation pair the threshold stays 0.5, with a warning', () =>
  inProject(async (project) => {
    withWeights(project);
    project.write('pairs/valid.txt', 'P0\tP1\t0\n');
    await project.runHere([...ONLY, 'evaluate.decision_threshold=best_f1_on_valid']);
    assert.match(project.logLines('evaluate', 'e').join('\n'), 'WARNING decision_threshold | reason=no positive');
  }));

test('order averaging makes (A, B) and (B, A) score alike', () =>
  inProject(async (project) => {
    withWeights(project);
    // Each pair in both orders with both labels: where orders score alike the ranking is no better than chance.
    const pairs = ['P0 P1', 'P2 P5', 'P3 P7', 'P4 P8', 'P6 P9'].map((pair) => pair.split(' '));
    project.write('pairs/test.txt', pairs.map(([a, b]) => `${a}\t${b}\t1\n${b}\t${a}\t0\n`).join(''));
    const { stages: apart } = await project.runHere(ONLY);
    const { stages: alike } = await project.runHere([...ONLY, 'evaluate.order_averaged=true']);
    assert.is(alike[0].metrics?.get('auroc'), 0.5);
    assert.is.not(apart[0].metrics?.get('auroc'), 0.5);
  }));

test.run();
