import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatFasta, parseFasta } from '../../src/data/fasta.ts';
import { RESIDUE_SCALES, RESIDUES } from '../../src/data/residues.ts';
import {
  formatPairs,
  type Interactome,
  type LabelledPair,
  simulateInteractome,
  simulationFiles,
} from '../../src/data/simulate.ts';
import { SIMULATE_DEFAULTS, type SimulateOptions } from '../../src/data/simulate-options.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('simulate');
/** SHA-256 of all default files: a change here changes every user's demo data. */
const DIGEST = '83f3c32f3045a52c8e61f54ccc1b18386c201b527b32fb3dc46616515bd03d5d';
const simulate = (options: Partial<SimulateOptions> = {}) => simulateInteractome({ ...SIMULATE_DEFAULTS, ...options });
const SPLITS = ['train', 'valid', 'test'] as const;
const all = (simulated: Interactome) => SPLITS.flatMap((split) => simulated[split]);
const families = ({ fasta }: Interactome) =>
  new Map(
    fasta.map(({ id, description = '' }) => [
      id,
      description
        .replace('domains=', '')
        .split(',')
        .map((place) => Number(place.split(':')[0])),
    ]),
  );

/** Probability that a random positive scores above a random negative, ties counting one half. */
function auroc(rows: readonly LabelledPair[], score: (a: string, b: string) => number): number {
  const scores = (label: number) => rows.filter((row) => row[2] === label).map(([a, b]) => score(a, b));
  const [negatives, positives] = [scores(0), scores(1)];
  let wins = 0;
  for (const p of positives) for (const n of negatives) wins += p > n ? 1 : p === n ? 0.5 : 0;
  return wins / (positives.length * negatives.length);
}

test('the same options give the same bytes, another seed gives others', () => {
  const digest = (options: SimulateOptions) => {
    const hash = createHash('sha256');
    for (const { name, text } of simulationFiles(options)) hash.update(`${name}\n${text}`);
    return hash.digest('hex');
  };
  assert.is(digest(SIMULATE_DEFAULTS), DIGEST);
  assert.is.not(digest({ ...SIMULATE_DEFAULTS, seed: 48 }), DIGEST);
});

test('splits 70/10/20 with balanced labels; no self pair, no pair twice in either order', () => {
  const simulated = simulate();
  assert.equal(
    SPLITS.map((split) => simulated[split].length),
    [1680, 240, 480],
  );
  for (const split of SPLITS) {
    assert.is(simulated[split].filter((row) => row[2] === 1).length * 2, simulated[split].length);
    // Labels are mixed, so that the first lines hold both.
    assert.is(new Set(simulated[split].slice(0, 24).map((row) => row[2])).size, 2);
  }
  const keys = all(simulated).map(([a, b]) => [a, b].sort().join(' '));
  assert.is(new Set(keys).size, 2400);
  assert.ok(all(simulated).every(([a, b]) => a !== b));
  assert.ok(simulated.train.some(([a, b]) => a < b) && simulated.train.some(([a, b]) => a > b));
});

test('a pair is labelled 1 exactly when a family of one binds a family of the other', () => {
  for (const options of [{}, { domains: 2 }, { domains: 3 }, { disjoint: true, pairs: 600 }]) {
    const simulated = simulate(options);
    const { partners } = simulated;
    assert.equal(
      partners.map((other) => partners[other]),
      partners.map((_, family) => family),
    );
    assert.ok(partners.some((other, family) => other !== family));
    const of = families(simulated);
    const binds = (a: string, b: string) => of.get(a)!.some((family) => of.get(b)!.includes(partners[family]));
    for (const [a, b, label] of all(simulated)) assert.is(label, binds(a, b) ? 1 : 0);
  }
});

test('proteins have the lengths asked for, and their motifs where the header says', () => {
  const { fasta } = simulate({ minLength: 30, maxLength: 33 });
  assert.equal([...new Set(fasta.map(({ sequence }) => sequence.length))].sort(), [30, 31, 32, 33]);
  const copies = new Map<string, string[]>();
  let two = 0;
  for (const { description = '', sequence } of fasta) {
    const places = description.replace('domains=', '').split(',');
    if (places.length === 2) two++;
    for (const place of places) {
      const [family, first, last] = place.split(/[:-]/).map(Number);
      const copy = sequence.slice(first - 1, last);
      assert.ok(copy.length >= 10 && copy.length <= 12);
      copies.set(String(family), [...(copies.get(String(family)) ?? []), copy]);
    }
  }
  assert.ok(two > 10 && two < 40, `${two} proteins with two domains`);
  for (const [family, texts] of copies) {
    // The residue most often at each place: copies agree with it but for substitutions.
    const consensus = [...texts[0]].map((_, i) => mostCommon(texts.map((text) => text[i])));
    const agreeing = texts.flatMap((text) => [...text].map((residue, i): number => (residue === consensus[i] ? 1 : 0)));
    const share = agreeing.reduce((sum, x) => sum + x, 0) / agreeing.length;
    assert.ok(share > 0.8, `family ${family}: ${share}`);
    assert.is(
      texts.every((text) => text.length === consensus.length),
      true,
    );
  }
});

function mostCommon(letters: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const letter of letters) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0][0];
}

test('neither degrees, nor lengths, nor hydropathy tell the label', () => {
  for (const options of [{}, { seed: 1 }, { seed: 2, domains: 4 }, { seed: 3, disjoint: true, pairs: 600 }]) {
    const simulated = simulate(options);
    const balance = new Map<string, number>();
    for (const split of SPLITS) {
      balance.clear();
      for (const [a, b, label] of simulated[split]) {
        for (const id of [a, b]) balance.set(id, (balance.get(id) ?? 0) + (label === 1 ? 1 : -1));
      }
      const largest = Math.max(...[...balance.values()].map(Math.abs));
      assert.ok(largest <= 1, `${JSON.stringify(options)} ${split}: a protein has ${largest} more pairs of one label`);
    }
    const degree = new Map<string, number>();
    for (const row of simulated.train)
      for (const id of row.slice(0, 2) as string[]) degree.set(id, (degree.get(id) ?? 0) + 1);
    const sequence = new Map(simulated.fasta.map((record) => [record.id, record.sequence]));
    const length = (id: string) => sequence.get(id)!.length;
    const hydropathy = (id: string) =>
      [...sequence.get(id)!].reduce((sum, r) => sum + RESIDUE_SCALES.hydropathy[RESIDUES.indexOf(r)], 0) / length(id);
    for (const [what, value] of Object.entries({ degree: (id: string) => degree.get(id) ?? 0, length, hydropathy })) {
      for (const score of [
        (a: string, b: string) => value(a) + value(b),
        (a: string, b: string) => Math.abs(value(a) - value(b)),
        (a: string, b: string) => value(a) * value(b),
      ]) {
        const area = auroc(all(simulated), score);
        assert.ok(Math.abs(area - 0.5) < 0.08, `${JSON.stringify(options)} ${what}: AUROC ${area}`);
      }
    }
  }
});

test('disjoint splits share no protein', () => {
  const simulated = simulate({ disjoint: true, pairs: 600 });
  const [train, valid, held] = SPLITS.map((split) => new Set(simulated[split].flatMap((row) => row.slice(0, 2))));
  assert.equal([simulated.train.length, simulated.valid.length, simulated.test.length], [420, 60, 120]);
  for (const id of held) assert.ok(!train.has(id) && !valid.has(id));
  for (const id of valid) assert.not(train.has(id));
});

test('noise flips as many training labels of either kind and leaves the other splits clean', () => {
  const clean = simulate();
  const noisy = simulate({ noise: 0.1 });
  const of = families(noisy);
  const flipped = (rows: readonly LabelledPair[]) =>
    rows.filter(([a, b, label]) => (label === 1) !== of.get(a)!.some((f) => of.get(b)!.includes(noisy.partners[f])));
  assert.is(flipped(noisy.train).length, 168);
  assert.is(flipped(noisy.train).filter((row) => row[2] === 1).length, 84);
  assert.is(flipped([...noisy.valid, ...noisy.test]).length, 0);
  assert.equal(noisy.test, clean.test);
});

test('the files parse, agree with the simulation and say what they are', () => {
  const options = { ...SIMULATE_DEFAULTS, pairs: 200, seed: 5 };
  const simulated = simulateInteractome(options);
  const files = simulationFiles(options);
  assert.equal(
    files.map(({ name }) => name),
    ['proteins.fasta', 'train.txt', 'valid.txt', 'test.txt', 'README.txt'],
  );
  assert.is(files[0].text, formatFasta(simulated.fasta));
  assert.equal(parseFasta(Buffer.from(files[0].text), 'x').records, simulated.fasta);
  assert.is(files[3].text, formatPairs(simulated.test));
  assert.is(
    formatPairs([
      ['a', 'b', 1],
      ['c', 'd', 0],
    ]),
    'a\tb\t1\nc\td\t0\n',
  );
  assert.match(
    files[4].text,
    /not biological data[\s\S]*120 proteins[\s\S]*140 pairs, 70 of them interacting[\s\S]*"seed":5/,
  );
});

/** Twice the number of pairs, among all there could be, with the rarer label. */
function rarerLabelTwice(simulated: Interactome): number {
  const own = [...families(simulated).values()];
  let [binding, others] = [0, 0];
  own.forEach((first, i) => {
    for (const second of own.slice(i + 1)) {
      if (first.some((family) => second.includes(simulated.partners[family]))) binding++;
      else others++;
    }
  });
  return 2 * Math.min(binding, others);
}

test('options that cannot be met name the nearest that can, and that one works', () => {
  const refused = (options: Partial<SimulateOptions>, message: RegExp) =>
    assertThrowsCode(() => simulate(options), 'RELIC_USAGE', message);
  refused({ proteins: 3 }, /proteins .*from 4 to 4000, received 3/);
  refused({ proteins: 5000 }, /use 4000 or less/);
  refused({ domains: 1 }, /domains .*from 2 to 40/);
  refused({ proteins: 20, domains: 11 }, /use 10 or less/);
  refused({ minLength: 23 }, /min_length .*24 \(room for two domains\).*\n.*use 24 or more/);
  refused({ maxLength: 23 }, /max_length .*24 \(min_length\)/);
  refused({ pairs: 4 }, /pairs .*from 6/);
  refused({ pairs: 2401 }, /even number.*\n.*use 2400/);
  refused({ noise: 0.5 }, /noise .*below 0\.5/);
  refused({ seed: 2 ** 32 }, /seed/);
  refused({ seed: 1.5 }, /seed/);
  refused({ proteins: 4, domains: 2, pairs: 6, disjoint: true }, /use more proteins/);
  for (const options of [{}, { disjoint: true }, { domains: 2 }, { proteins: 40, domains: 20 }]) {
    const error = refused({ ...options, pairs: 1_000_000 }, /pairs .*at most \d+/);
    const most = Number(/at most (\d+)/.exec(error.message)?.[1]);
    assert.is(all(simulate({ ...options, pairs: most })).length, most);
    refused({ ...options, pairs: most + 2 }, new RegExp(`at most ${most} `));
    if (!('disjoint' in options)) assert.is(most, rarerLabelTwice(simulate({ ...options, pairs: 6 })));
  }
});

test.run();
