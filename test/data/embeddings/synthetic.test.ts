import { deepStrictEqual, match, notStrictEqual, strictEqual } from 'node:assert';
import { suite } from 'uvu';
import { SyntheticSource } from '../../../src/data/embeddings/synthetic.ts';
import { assertClose } from '../../assert.ts';
import { goldenVectors } from '../../golden.ts';

const test = suite('synthetic');
const golden = [...goldenVectors('rng').tensors].filter(([name]) => name.startsWith('synthetic.'));
const shape = { length: 4, dim: 24 };

test("equals PyTorch's embeddings of every golden protein and seed", () => {
  strictEqual(golden.length, 6);
  for (const [name, tensor] of golden) {
    const [, seed, protein] = name.split('.');
    deepStrictEqual(tensor.shape, [4, 24]);
    const source = new SyntheticSource({ seed: Number(seed), ...shape });
    // Contract 1.5: a scalar Box-Muller agrees with torch's vector one to 2 ulp.
    const expected = tensor.data as Float32Array;
    assertClose(source.rows(protein), expected, { rel: 2 ** -22, abs: 1e-9, what: name });
  }
});

test('by default a protein has one embedding in all splits', () => {
  const source = new SyntheticSource({ seed: 47, ...shape });
  strictEqual(source.entry('P12345', 'train'), 'P12345');
  strictEqual(source.entry('P12345', 'test'), 'P12345');
});

test('per split, the seed goes up with the split and stands in the id', () => {
  const source = new SyntheticSource({ seed: 47, ...shape, perSplit: true });
  deepStrictEqual(
    (['train', 'valid', 'test'] as const).map((split) => source.entry('P12345', split)),
    ['47:P12345', '48:P12345', '49:P12345'],
  );
  const seeded = (seed: number) => new SyntheticSource({ seed, ...shape }).rows('P12345');
  deepStrictEqual(source.rows('47:P12345'), seeded(47));
  deepStrictEqual(source.rows('48:P12345'), seeded(48));
});

test('has every protein, all of one length', () => {
  const source = new SyntheticSource({ seed: 1, length: 5, dim: 3 });
  strictEqual(source.has(), true);
  strictEqual(source.length(), 5);
  strictEqual(source.rows('any').length, 15);
});

test('the fingerprint tells seeds, lengths and widths apart', () => {
  const of = (seed: number, length: number, dim: number) => new SyntheticSource({ seed, length, dim }).fingerprint;
  strictEqual(of(1, 5, 3), of(1, 5, 3));
  for (const other of [of(2, 5, 3), of(1, 6, 3), of(1, 5, 4)]) notStrictEqual(of(1, 5, 3), other);
});

test('describes itself with its seeds', () => {
  match(new SyntheticSource({ seed: 47, ...shape }).describe(), /\[4, 24\].*seed 47$/);
  match(new SyntheticSource({ seed: 47, ...shape, perSplit: true }).describe(), /47, 48, 49/);
});

test.run();
