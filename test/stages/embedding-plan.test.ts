import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { planEmbeddings } from '../../src/stages/embedding-plan.ts';
import { readSplits } from '../../src/stages/splits.ts';
import { assertThrowsCode } from '../assert.ts';
import { COMPAT, inProject, type TinyProject } from './project.ts';

const test = suite('embedding plan');
const SEQUENCE = [
  'data_config.embeddings.source=sequence',
  'data_config.embeddings.path=p.fasta',
  'model_config.input_dim=64',
];

function planned(project: TinyProject, unwritten: Record<string, string>, ...set: string[]) {
  const loaded = project.load(...set);
  return planEmbeddings(loaded, readSplits(loaded.config), new Map(Object.entries(unwritten)));
}

const fasta = Array.from({ length: 10 }, (_, i) => `>P${i}\n${'ACDEF'.repeat(i + 1)}\n`).join('');

test('synthetic embeddings: one a protein, or one a protein and split under compat', () =>
  inProject((project) => {
    const { plan, lengthOf } = planned(project, {});
    assert.equal([plan.proteins, plan.residues, lengthOf('P3')], [10, 60, 6]);
    assert.ok(planned(project, {}, COMPAT).plan.proteins > 10);
  }));

test('the size of the store follows from its number format', () =>
  inProject((project) => {
    const bytes = (dtype: string) => planned(project, {}, `data_config.embeddings.dtype=${dtype}`).plan.bytes;
    assert.is(bytes('float32') - bytes('float16'), 60 * 8 * 2);
  }));

test('sequences that will be simulated count as those that are there', () =>
  inProject((project) => {
    const before = planned(project, { './p.fasta': fasta }, ...SEQUENCE);
    project.write('p.fasta', fasta);
    const after = planned(project, {}, ...SEQUENCE);
    assert.equal([before.plan.path, before.plan.ready], [null, false]);
    assert.equal([before.plan.residues, before.plan.bytes], [after.plan.residues, after.plan.bytes]);
    assert.equal([before.lengthOf('P2'), after.lengthOf('P2')], [15, 15]);
    assert.is(before.lengthOf('nobody'), undefined);
  }));

test('a protein without an embedding is an error here as well', () =>
  inProject((project) => {
    project.write('p.fasta', '>P0\nACD\n');
    assertThrowsCode(() => planned(project, {}, ...SEQUENCE), 'RELIC_EMBEDDING_MISSING');
  }));

test.run();
