import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { configReference } from '../../src/config/reference.ts';
import { ConfigSchema } from '../../src/config/schema.ts';
import { asNode, keyPaths } from '../../src/config/schema-node.ts';

const test = suite('reference');

const rows = configReference().trimEnd().split('\n').slice(2);

test('a row for every key that takes a value, each with a meaning that is a sentence', () => {
  const keys = rows.map((row) => row.split('`')[1]);
  assert.is(new Set(keys).size, keys.length);
  const sections = new Set(keyPaths(asNode(ConfigSchema)).filter((path) => !keys.includes(path)));
  assert.ok(
    [...sections].every((path) => keys.some((key) => key.startsWith(`${path}.`))),
    [...sections].join(),
  );
  for (const row of rows) {
    assert.is(row.split(/(?<!\\)\|/).length, 6, row);
    assert.match(row, /\S\. \|$/);
  }
});

test('defaults, required keys and borrowed defaults are told apart', () => {
  const row = (key: string) => rows.find((each) => each.startsWith(`| \`${key}\` `));
  assert.is(
    row('training_config.epochs'),
    '| `training_config.epochs` | an integer at least 1 | `1` | Passes over the training split, in each training stage. |',
  );
  assert.match(row('model_config.d_model')!, /\| required \|/);
  assert.match(row('training_config.scheduler.max_lr')!, /\| `optimizer\.lr` \|/);
  assert.match(row('run_config.load_checkpoint_path')!, /\| `null` \|/);
});

test.run();
