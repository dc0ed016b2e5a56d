import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { simulatedFiles } from '../../src/stages/simulated-files.ts';
import { inProject } from './project.ts';

const test = suite('simulated files');
const SIMULATE = 'data_config.benchmark.simulate={proteins: 30, pairs: 60, domains: 3, out_dir: demo}';

test('nothing without simulate', () =>
  inProject((project) => {
    const { missing, different } = simulatedFiles(project.load().config.data_config);
    assert.equal([missing.size, different.length], [0, 0]);
  }));

test('files that are missing, and those that other settings made', () =>
  inProject((project) => {
    const { data_config } = project.load(SIMULATE).config;
    const { missing } = simulatedFiles(data_config);
    for (const name of ['train.txt', 'valid.txt', 'test.txt', 'proteins.fasta'])
      assert.ok(missing.has(`demo/${name}`), name);
    for (const [path, text] of missing) project.write(path, text);
    assert.is(simulatedFiles(data_config).missing.size, 0);

    const other = simulatedFiles(project.load(SIMULATE.replace('domains: 3', 'domains: 4')).config.data_config);
    assert.is(other.missing.size, 0);
    assert.ok(other.different.includes('demo/train.txt'));
  }));

test.run();
