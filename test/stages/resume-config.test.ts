import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigSchema } from '../../src/config/schema.ts';
import { asNode, keyPaths } from '../../src/config/schema-node.ts';
import { ENGINE_KEYS, FREE_KEYS, settingsHash, settingsThatDiffer } from '../../src/stages/resume-config.ts';
import { inProject, type TinyProject } from './project.ts';

const test = suite('resume config');
const changes = (project: TinyProject, ...set: string[]) => {
  const [before, after] = [project.load().config, project.load(...set).config];
  const problems = settingsThatDiffer(before as never, after);
  assert.is(settingsHash(before) === settingsHash(after), problems.length === 0, 'the hash says otherwise');
  return problems.map(({ where, message }) => `${where}: ${message}`);
};

test('what decides results must be equal, and every change is named with both values', () =>
  inProject((project) => {
    assert.equal(changes(project), []);
    assert.equal(changes(project, 'training_config.epochs=3', 'model_config.mlp_head.hidden_dims=[4, 2]'), [
      'model_config.mlp_head.hidden_dims: was [4] (list), is [4,2] (list)',
      'training_config.epochs: was 2 (number), is 3 (number)',
    ]);
    for (const set of ['run_config.seed=4', 'run_config.save_best_only=false', 'run_config.mode=train_only']) {
      assert.is(changes(project, set).length, 1, set);
    }
  }));

test('what cannot matter may change, and so may the engine', () =>
  inProject((project) => {
    assert.equal(
      changes(
        project,
        'run_config.checkpoint_every=5 steps',
        'run_config.pretrain_run_id=null',
        'training_config.logging.heartbeat_every_n_steps=7',
        'data_config.dataloader.train_dataset=elsewhere.txt',
        'device_config.threads=1',
        'device_config.engine=typescript',
      ),
      [],
    );
  }));

test('a key that the earlier version did not have is a difference', () =>
  inProject((project) => {
    const { config } = project.load();
    const { seed: _, ...older } = config.run_config;
    const problems = settingsThatDiffer({ ...config, run_config: older }, config);
    assert.equal(problems, [{ where: 'run_config.seed', message: 'was nothing, is 3 (number)' }]);
  }));

test('the keys that may change exist', () => {
  const known = keyPaths(asNode(ConfigSchema));
  assert.equal(
    [...FREE_KEYS, ...ENGINE_KEYS].filter((key) => !known.includes(key)),
    [],
  );
});

test.run();
