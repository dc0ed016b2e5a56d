import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openConfigEmbeddings, readSplits } from '../../src/stages/splits.ts';
import { assertThrowsCode } from '../assert.ts';
import { pairLines } from '../e2e/project.ts';
import { COMPAT, inProject } from './project.ts';

const test = suite('splits of a config');
const CAP = 'data_config.dataloader.max_samples_per_split=4';

test('reads the three files, capped by the rule of the config', () =>
  inProject((project) => {
    assert.is(readSplits(project.load().config).train.labels.length, 32);
    project.write('pairs/train.txt', 'A\tB\t1\nC\tD\t1\nE\tF\t1\nG\tH\t1\nI\tJ\t0\nK\tL\t0\nM\tN\t0\nO\tP\t0\n');
    const labels = (...set: string[]) => [...readSplits(project.load(CAP, ...set).config).train.labels];
    assert.equal(labels(COMPAT), [1, 1, 1, 1]);
    assert.equal(labels(), [1, 1, 0, 0]);
  }));

test('the benchmark root must exist; an empty one is the working directory', () =>
  inProject((project) => {
    const root = (path: string) => readSplits(project.load(`data_config.benchmark.root_dir=${path}`).config);
    assertThrowsCode(() => root('elsewhere'), 'RELIC_PAIRS_NOT_FOUND', /Benchmark root does not exist: elsewhere/);
    assert.is(root('""').valid.labels.length, 8);
  }));

test('texts stand for files that do not exist yet', () =>
  inProject((project) => {
    const { config } = project.load('data_config.dataloader.test_dataset=./made/../made/test.txt');
    assertThrowsCode(() => readSplits(config), 'RELIC_PAIRS_NOT_FOUND');
    const files = readSplits(config, new Map([['made/test.txt', pairLines(6)]]));
    assert.is(files.test.labels.length, 6);
  }));

test('embeddings are opened with the settings of the config and its compat', () =>
  inProject((project) => {
    const open = (...set: string[]) => {
      const loaded = project.load(...set);
      return openConfigEmbeddings(loaded, readSplits(loaded.config));
    };
    const { neededIds, storePath, ready, source } = open();
    assert.equal([neededIds.length, ready, source.dim], [10, false, 8]);
    assert.match(storePath, /^packed\/synthetic-/);
    assert.ok(open(COMPAT).neededIds.length > 10, 'a protein has one embedding a split');
  }));

test.run();
