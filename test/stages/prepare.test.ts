import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { EventLog, Fields } from '../../src/log.ts';
import { nullLog } from '../../src/log.ts';
import { prepareData } from '../../src/stages/prepare.ts';
import { assertThrowsCode } from '../assert.ts';
import { inProject } from './project.ts';

const test = suite('preparation');

function notes(): { log: EventLog; names: () => string[]; fields: (name: string) => Fields | undefined } {
  const seen: [string, Fields | undefined][] = [];
  const log = { ...nullLog(), note: (_level: string, name: string, fields?: Fields) => seen.push([name, fields]) };
  return {
    log: log as EventLog,
    names: () => seen.map(([name]) => name),
    fields: (name) => seen.find(([each]) => each === name)?.[1],
  };
}

test('packs the embeddings once, and reports what the splits hold', () =>
  inProject((project) => {
    const first = notes();
    const { dataset, store } = prepareData(project.load(), first.log);
    store.close();
    assert.is(dataset.train.labels.length, 32);
    assert.equal(first.names().slice(0, 3), ['store_packing', 'store_packed', 'split_summary']);
    assert.is(first.names().at(-1), 'embeddings_ready');
    assert.equal([first.fields('protein_lengths')?.mean, first.fields('store_packed')?.residues], [6, 60]);

    const second = notes();
    prepareData(project.load(), second.log).store.close();
    assert.not.ok(second.names().includes('store_packed'));
  }));

const SIMULATED = [
  'data_config.benchmark={root_dir: demo, simulate: {proteins: 30, pairs: 60, domains: 3}}',
  'data_config.dataloader.train_dataset=demo/train.txt',
  'data_config.dataloader.valid_dataset=demo/valid.txt',
  'data_config.dataloader.test_dataset=demo/test.txt',
  'data_config.embeddings.source=sequence',
  'data_config.embeddings.path=demo/proteins.fasta',
  'data_config.max_sequence_length=40',
  'model_config.input_dim=64',
];

test('simulates what is missing, and leaves what is there', () =>
  inProject((project) => {
    const first = notes();
    prepareData(project.load(...SIMULATED), first.log).store.close();
    assert.ok(first.names().includes('simulated_file_written'));
    assert.ok(existsSync('demo/proteins.fasta'));

    const text = `${readFileSync('demo/test.txt', 'utf8')}\n`;
    project.write('demo/test.txt', text);
    const second = notes();
    prepareData(project.load(...SIMULATED), second.log).store.close();
    assert.is(second.fields('simulated_file_differs')?.path, 'demo/test.txt');
    assert.is(readFileSync('demo/test.txt', 'utf8'), text);
  }));

test('proteins without an embedding are refused', () =>
  inProject((project) => {
    project.write('some.fasta', '>P1\nACDEF\n');
    const set = [
      'data_config.embeddings.source=sequence',
      'data_config.embeddings.path=some.fasta',
      'model_config.input_dim=64',
    ];
    assertThrowsCode(
      () => prepareData(project.load(...set), nullLog()),
      'RELIC_EMBEDDING_MISSING',
      /pairs\/train\.txt:1/,
    );
  }));

test.run();
