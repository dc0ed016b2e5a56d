import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { messages, minimal, problemsOf } from './fixtures.ts';

const test = suite('rules');

test('eval_only needs a checkpoint, before any data is looked at', () => {
  const [problem] = problemsOf('run_config.mode=eval_only');
  assert.is(problem.where, 'minimal.yaml:2:13 run_config.load_checkpoint_path');
  assert.match(problem.message, /^load_checkpoint_path is required for eval_only/);
  assert.is(
    minimal('run_config.mode=eval_only', 'run_config.load_checkpoint_path=x.pth').config.run_config.mode,
    'eval_only',
  );
});

test('a section that evaluates must be there when evaluation runs', () => {
  const [problem] = problemsOf('evaluate=null');
  assert.match(problem.message, /^Config section 'evaluate' must be a mapping/);
});

test('d_model must be a multiple of n_heads', () => {
  const [problem] = problemsOf('model_config.d_model=18');
  assert.is(problem.where, '--set model_config.d_model');
  assert.is(problem.message, 'expected a multiple of n_heads (4), received 18 (number)');
  assert.equal(problemsOf('model_config.d_model=0').length, 1);
});

test('cross-attention dropout follows dropout unless given', () => {
  assert.is(minimal().config.model_config.regularization.cross_attention_dropout, 0.2);
  const given = minimal('model_config.regularization.cross_attention_dropout=0').config;
  assert.is(given.model_config.regularization.cross_attention_dropout, 0);
});

test('max_lr follows lr unless given', () => {
  assert.is(minimal('training_config.optimizer.lr=3e-4').config.training_config.scheduler.max_lr, 3e-4);
  assert.is(minimal('training_config.scheduler.max_lr=2').config.training_config.scheduler.max_lr, 2);
});

test('the monitored metric must be computed', () => {
  const [problem] = problemsOf('training_config.monitor_metric=f1');
  assert.match(problem.message, /^expected loss or one of logging\.validation_metrics \(auprc, auroc\), received "f1"/);
  const computed = minimal('training_config.monitor_metric=f1', 'training_config.logging.validation_metrics=[F1]');
  assert.is(computed.config.training_config.monitor_metric, 'f1');
});

test('a metric named twice gets one column and a warning', () => {
  const { config, warnings } = minimal('training_config.logging.validation_metrics=[auprc, F1, AUPRC]');
  assert.equal(config.training_config.logging.validation_metrics, ['auprc', 'f1']);
  assert.match(messages(warnings).join(), /named twice/);
  assert.is(config.training_config.logging.heartbeat_every_n_steps, 20);
});

test('unknown evaluation metrics are ignored with a warning', () => {
  const { warnings } = minimal('evaluate.metrics=[AUROC, auprcs]');
  assert.equal(warnings, [
    { where: '--set evaluate.metrics[1]', message: 'unknown metric auprcs, ignored; did you mean auprc?' },
  ]);
});

test('staged unfreezing needs something to train', () => {
  const [problem] = problemsOf('training_config.strategy={type: staged_unfreeze, initial_trainable_prefixes: []}');
  assert.match(problem.message, /^expected at least one prefix/);
});

const source = (...set: string[]) =>
  minimal(...set.map((each) => `data_config.embeddings.${each}`)).config.data_config.embeddings;

test('a source that is the name of an embedding model means cache', () => {
  const embeddings = source('source=ESM3', 'cache_dir=esm');
  assert.is(embeddings.source, 'cache');
  assert.is(embeddings.path, 'esm');
  assert.is(source('source=esm2', 'cache_dir=esm', 'path=here').path, 'here');
});

test('with compat such a source means synthetic, and our own names keep their meaning', () => {
  const compat = 'run_config.compat=relic-5f23433';
  assert.is(minimal(compat, 'data_config.embeddings.source=esm3').config.data_config.embeddings.source, 'synthetic');
  const own = minimal(compat, 'data_config.embeddings={source: sequence, path: a.fasta}').config;
  assert.is(own.data_config.embeddings.source, 'sequence');
});

test('a misspelt source is refused with a hint', () => {
  const [problem] = problemsOf('data_config.embeddings.source=sequense');
  assert.match(problem.message, /^Unsupported embedding source: sequense: .*did you mean sequence\?$/);
});

for (const [name, wanted] of [
  ['sequence', /FASTA file/],
  ['cache', /index\.json/],
  ['store', /\.safetensors/],
  ['esm3', /source esm3, which means cache, needs .*source: synthetic$/],
] as const) {
  test(`source ${name} needs its path`, () => {
    assert.match(problemsOf(`data_config.embeddings.source=${name}`)[0].message, wanted);
  });
}

test('simulated files go to root_dir unless out_dir is given', () => {
  const simulate = (...set: string[]) =>
    minimal(...set.map((each) => `data_config.benchmark.${each}`)).config.data_config.benchmark.simulate;
  assert.equal(simulate('simulate={}'), {
    proteins: 120,
    pairs: 2400,
    domains: 6,
    seed: 47,
    disjoint: false,
    min_length: 24,
    max_length: 48,
    out_dir: 'pairs',
  });
  assert.is(simulate('simulate.out_dir=demo')?.out_dir, 'demo');
  assert.match(
    problemsOf('data_config.benchmark.simulate={}', 'data_config.benchmark.root_dir=""')[0].message,
    /non-empty/,
  );
});

test('simulated lengths must be a range', () => {
  const [problem] = problemsOf('data_config.benchmark.simulate={min_length: 50}');
  assert.is(problem.message, 'expected at most max_length (48), received 50 (number)');
});

test('with compat a subset is the first pairs unless given', () => {
  const subset = (...set: string[]) => minimal(...set).config.data_config.dataloader.subset;
  assert.is(subset(), 'stratified');
  assert.is(subset('run_config.compat=relic-5f23433'), 'first');
  assert.is(subset('run_config.compat=relic-5f23433', 'data_config.dataloader.subset=stratified'), 'stratified');
});

test.run();
