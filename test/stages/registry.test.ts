import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MODES } from '../../src/config/names.ts';
import { MODE_STAGES, STAGES } from '../../src/stages/registry.ts';

const test = suite('stages');

test('every mode of the config has its stages', () => {
  assert.equal(Object.keys(MODE_STAGES), [...MODES]);
  for (const names of Object.values(MODE_STAGES)) for (const name of names) assert.ok(STAGES[name], name);
});

test('training stages save models, evaluation does not', () => {
  assert.equal(
    Object.entries(STAGES).map(([name, { savesModel, csvName }]) => [name, savesModel, csvName]),
    [
      ['pretrain', true, 'training_step.csv'],
      ['finetune', true, 'training_step.csv'],
      ['evaluate', false, 'evaluate.csv'],
    ],
  );
});

test.run();
