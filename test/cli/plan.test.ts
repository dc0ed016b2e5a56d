import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planInWords } from '../../src/cli/plan.ts';
import { loadConfig } from '../../src/config/load.ts';
import { planPipeline } from '../../src/stages/plan.ts';
import { Project } from '../e2e/project.ts';

const test = suite('cli/plan');
const home = process.cwd();
const here = new Project();
test.before(() => process.chdir(here.dir));
test.after(() => {
  process.chdir(home);
  here.remove();
});

const ESTIMATE = { seconds: 3665, from: 'a guess' };
const plan = async (...set: string[]) => planPipeline(loadConfig('config.yaml', { set }));

test('says what would run, on which data, at which cost', async () => {
  const text = planInWords(await plan(), ESTIMATE);
  for (const line of [
    /^plan of full_pipeline, config [0-9a-f]{12}; nothing was written$/m,
    /^ {2}pretrain {2}logs\/v3\/pretrain\/p {2}models\/v3\/pretrain\/p$/m,
    /^ {2}evaluate {2}logs\/v3\/evaluate\/e$/m,
    /^ {2}train +32 +50\.0 % +10 +0 +4 +pairs\/train\.txt$/m,
    /^ {2}valid shares 9 of its 9 proteins and 1 pairs with train$/m,
    /^ {2}10 proteins, 60 residues; lengths 6 to 6, mean 6; none is cut at 6$/m,
    /^ {2}to be packed first: .* in packed\//m,
    /^ {2}v3 with [\d,]+ parameters$/m,
    /^ {2}2 epoch\(s\) of 4 steps, 8 steps a training stage, on 1 rank\(s\)$/m,
    /^ {2}(typescript|native) engine on cpu, /m,
    /^ {2}about 1:01:05 \(h:mm:ss\), an estimate from a guess$/m,
  ]) {
    assert.match(text, line);
  }
  assert.equal(here.made(), []);
});

test('tells what is odd about the data, and leaves out what it cannot know', async () => {
  here.write('pairs/one-class.txt', 'P1\tP2\t1\nP1\tP1\t1\n');
  const text = planInWords(await plan('data_config.dataloader.test_dataset=pairs/one-class.txt'), ESTIMATE);
  assert.match(text, /^warnings:\n.*Every pair of the test split is positive/ms);
  assert.match(text, /^ {2}test +2 +100\.0 % +2 +1 +1 /m);
});

test.run();
