import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SequenceSource, sequenceFeatures } from '../../../src/data/embeddings/sequence.ts';
import { RESIDUE_SCALES, RESIDUES } from '../../../src/data/residues.ts';
import { assertClose, assertThrowsCode } from '../../assert.ts';

const test = suite('sequence features');
const directory = mkdtempSync(join(tmpdir(), 'relic-'));
const path = join(directory, 'proteins.fasta');
const TEXT = '>sp|P12345|ONE\nMKBXW\n>two\nMKVLAAGIVG\n';
writeFileSync(path, TEXT);
test.after(() => rmSync(directory, { recursive: true }));

const row = (features: Float32Array, i: number, dim: number) => features.subarray(i * dim, (i + 1) * dim);
const columns = (features: ArrayLike<number>, ...which: number[]) => which.map((column) => features[column]);

// The table of docs/sequence-features.md, recomputed by a program written from that page alone.
test('equals the check values of the documentation', () => {
  const features = sequenceFeatures('MKBXW', 36);
  const expected = [
    [0, 4.4721, 0, 0, 0.8209, 0.5364, -1.3856, -5.9865, -1, 1, 1, 1, -1],
    [0, 0, 0, 0, -1.1713, 0.6776, -0.6928, -5.9865, 1, 1, 1, -1, 1],
    [2.2361, 0, 0, 0, -1.0339, -0.7103, 0, -5.9865, 1, -1, 1, -1, -1],
    [0, 0, 0, 4.4721, 0, 0, 0.6928, -5.9865, -1, 1, 1, -1, 1],
    [0, 0, 4.4721, 0, -0.1408, 2.1449, 1.3856, -5.9865, -1, 1, 1, 1, -1],
  ];
  expected.forEach((values, i) => {
    const actual = columns(row(features, i, 36), 2, 10, 18, 20, 21, 22, 29, 30, 31, 32, 33, 34, 35);
    assertClose(actual, values, { abs: 5e-5, what: `residue ${i}` });
  });
});

test('pins the hash beyond its first block of 32 columns', () => {
  const features = row(sequenceFeatures('ACDEFGHIKLMNPQRSTVWY', 131), 3, 131);
  const signs = (from: number, to: number) => [...features.subarray(from, to)].map((x) => (x > 0 ? '+' : '-')).join('');
  assert.is(signs(31, 81), '+++-+--+--+-+++++++++++--+----++-+--+++-++++++----');
  assert.is(signs(81, 131), '++-++-++++----+++----+++--+--++-+----+-+++---++---');
});

test('scales have mean 0 and variance 1 over the 20 residues, and say what they are named for', () => {
  const features = sequenceFeatures(RESIDUES, 32);
  for (let column = 21; column < 29; column++) {
    const values = [...RESIDUES].map((_, i) => features[i * 32 + column]);
    assertClose(values.reduce((sum, x) => sum + x, 0) / 20, 0, { abs: 1e-6 });
    assertClose(values.reduce((sum, x) => sum + x * x, 0) / 20, 1, { abs: 1e-6 });
  }
  const extreme = (scale: string, of: (...values: number[]) => number) =>
    RESIDUES[RESIDUE_SCALES[scale].indexOf(of(...RESIDUE_SCALES[scale]))];
  assert.is(extreme('hydropathy', Math.max), 'I');
  assert.is(extreme('hydropathy', Math.min), 'R');
  assert.is(extreme('volume', Math.max), 'W');
  assert.is(extreme('bulkiness', Math.min), 'G');
  assert.is(extreme('helix', Math.max), 'E');
  assert.is(extreme('sheet', Math.max), 'V');
  assert.is(extreme('polarity', Math.max), 'D');
  assert.is(extreme('flexibility', Math.max), 'G');
});

test('ambiguous letters share mass; U and O are C and K everywhere', () => {
  const mean = sequenceFeatures('L', 40).map((x, i) => (x + sequenceFeatures('I', 40)[i]) / 2);
  assertClose(sequenceFeatures('J', 40).subarray(0, 29), mean.subarray(0, 29), { abs: 1e-6 });
  assert.equal(sequenceFeatures('AUAO', 64), sequenceFeatures('ACAK', 64));
});

test('k-mer columns see neighbours and their order, within two residues; the rest of a row does not', () => {
  const dim = 95;
  const at = (sequence: string, from: number, to: number) =>
    row(sequenceFeatures(sequence, dim), 4, dim).slice(from, to);
  const differ = (a: string, b: string, from: number, to: number) =>
    at(a, from, to).filter((x, i) => x !== at(b, from, to)[i]).length;
  assert.is(differ('GGGAMKGGG', 'GGGKMAGGG', 0, 31), 0);
  assert.ok(differ('GGGAMKGGG', 'GGGKMAGGG', 31, 63) > 6);
  assert.is(differ('GGSAMKGGG', 'GGAAMKGGG', 31, 63), 0);
  assert.ok(differ('GGSAMKGGG', 'GGAAMKGGG', 63, 95) > 6);
  assert.is(differ('GGIAMKGGG', 'GGVAMRGGG', 63, 95), 0);
  assert.is(differ('GAGAMKGAG', 'GGGAMKGGG', 31, 95), 0);
});

test('a source answers for the proteins of its file', () => {
  const source = new SequenceSource({ path, dim: 40 });
  assert.is(source.name, 'sequence');
  assert.is(source.dim, 40);
  assert.ok(source.has('two') && source.has('P12345') && !source.has('three'));
  assert.is(source.length('P12345'), 5);
  assert.equal(source.rows('two'), sequenceFeatures('MKVLAAGIVG', 40));
  assert.match(source.describe(), /40 features a residue, 2 proteins of .*proteins\.fasta/);
});

test('the fingerprint follows from recipe, dim and file content alone', () => {
  const content = createHash('sha256').update(TEXT).digest('hex');
  const expected = createHash('sha256').update(`relic-sequence-1\n40\n${content}\n`).digest('hex');
  assert.is(new SequenceSource({ path, dim: 40 }).fingerprint, expected);
  assert.is.not(new SequenceSource({ path, dim: 41 }).fingerprint, expected);
});

test('refuses too few columns and unknown proteins with the way out', () => {
  assertThrowsCode(
    () => new SequenceSource({ path, dim: 31 }),
    'RELIC_EMBEDDING_INVALID',
    /input_dim.*at least 32.*31/s,
  );
  assertThrowsCode(() => new SequenceSource({ path, dim: 40.5 }), 'RELIC_EMBEDDING_INVALID');
  const source = new SequenceSource({ path, dim: 32 });
  assertThrowsCode(() => source.rows('P12346'), 'RELIC_EMBEDDING_MISSING', /"P12346".*nearest id is "P12345"/s);
  assertThrowsCode(() => source.length('nothing'), 'RELIC_EMBEDDING_MISSING', /add it to the FASTA file/);
});

test.run();
