import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { assertClose } from '../assert.ts';
import { goldenVectors } from '../golden.ts';

const { tensors, case: rng } = goldenVectors<{ seeds: number[] }>('rng');
const golden = (name: string) => tensors.get(name)!.data;
const integers = (name: string) => Array.from(golden(name), Number);

function filled(length: number, fill: (out: Float32Array) => void): Float32Array {
  const out = new Float32Array(length);
  fill(out);
  return out;
}

const test = suite('TorchGenerator');

for (const seed of rng.seeds) {
  const fresh = () => new TorchGenerator(seed);

  test(`seed ${seed}: uniforms equal torch's`, () => {
    assert.equal(
      filled(700, (out) => fresh().uniform(out)),
      golden(`${seed}.rand`),
    );
    assert.equal(
      filled(50, (out) => fresh().uniform(out, -0.25, 0.25)),
      golden(`${seed}.uniform_pm`),
    );
  });

  for (const n of [16, 17, 31, 100, 1536]) {
    test(`seed ${seed}: ${n} normals equal torch's`, () => {
      assert.equal(
        filled(n, (out) => fresh().normal(out)),
        golden(`${seed}.randn.${n}`),
      );
    });
  }

  // Below 16 torch uses the C library in double precision and rounds once, so the last bit may differ, rarely.
  for (const n of [1, 5, 15]) {
    test(`seed ${seed}: ${n} normals equal torch's to 1 ulp`, () => {
      assertClose(
        filled(n, (out) => fresh().normal(out)),
        golden(`${seed}.randn.${n}`) as Float32Array,
        { rel: 2 ** -23 },
      );
    });
  }

  test(`seed ${seed}: a short draw leaves its stream where torch does`, () => {
    const generator = fresh();
    const both = [5, 20].flatMap((n) => [...filled(n, (out) => generator.normal(out))]);
    assertClose(both, golden(`${seed}.randn.twice`) as Float32Array, { rel: 2 ** -23 });
  });

  test(`seed ${seed}: integers and permutations equal torch's`, () => {
    for (const n of [1, 2, 10, 1000]) assert.equal([...fresh().randperm(n)], integers(`${seed}.randperm.${n}`));
    const generator = fresh();
    const drawn = BigInt64Array.from({ length: 4 }, () => generator.random64());
    assert.equal(drawn, golden(`${seed}.random64`));
    assert.equal([...fresh().randint(100, 50)], integers(`${seed}.randint100`));
  });
}

test('synthetic protein embeddings equal those of the contract', () => {
  for (const seed of [47, 48]) {
    for (const protein of ['P12345', 'Q9Y3B2', 'O15228']) {
      const hash = createHash('sha256').update(`${seed}:${protein}`).digest('hex');
      const generator = new TorchGenerator(Number.parseInt(hash.slice(0, 8), 16));
      assert.equal(
        filled(4 * 24, (out) => generator.normal(out)),
        golden(`synthetic.${seed}.${protein}`),
      );
    }
  }
});

test('a million draws at odd parameters are bytes of torch (sha256 of torch 2.13, seed 123)', () => {
  const digest = (fill: (generator: TorchGenerator, out: Float32Array) => void) => {
    const out = filled(1_000_003, (array) => fill(new TorchGenerator(123), array));
    return createHash('sha256').update(new Uint8Array(out.buffer)).digest('hex');
  };
  assert.is(
    digest((generator, out) => generator.normal(out, 0.1, 1.7)),
    'b610e643162d1f31f50622b09fa832eee663d448d1814ff949e32cecd2bd1b3c',
  );
  assert.is(
    digest((generator, out) => generator.uniform(out, -0.037, 0.1)),
    'b6a0af00deb790159198b0ca022cfdb2400e0e7960a36e19be291b7d20c58b6d',
  );
});

test('randint draws 64 bits from a range of 2^28 on (values of torch 2.13, seed 5)', () => {
  const draws = (high: number) => [...new TorchGenerator(5).randint(high, 3)];
  assert.equal(draws(2 ** 28 - 1), [148147046, 236996814, 250105852]);
  assert.equal(draws(2 ** 28), [236996814, 80864957, 220060790]);
  assert.equal(draws(2 ** 40), [425438759118, 1030067709629, 989404716150]);
});

test('only the low 32 bits of a seed matter, and a negative seed is its complement', () => {
  const first = (seed: number | bigint) => new TorchGenerator(seed).random32();
  assert.is(first(2n ** 63n + 7n), first(7));
  assert.is(first(2 ** 40 + 7), first(7));
  assert.is(first(-1), first(0xffffffff));
  assert.is.not(first(8), first(7));
});

test('the second normal of a pair waits for the next short draw and dies with a new seed', () => {
  const generator = new TorchGenerator(3);
  const pair = filled(2, (out) => generator.normal(out));
  generator.manualSeed(3);
  const first = filled(1, (out) => generator.normal(out));
  filled(16, (out) => generator.normal(out));
  const second = filled(1, (out) => generator.normal(out));
  assert.equal([first[0], second[0]], [...pair]);
  generator.manualSeed(3);
  filled(1, (out) => generator.normal(out));
  generator.manualSeed(3);
  assert.is(filled(1, (out) => generator.normal(out))[0], first[0]);
});

test('mean and deviation are applied in float32 for long draws, in double for short ones (torch, seed 3)', () => {
  const draw = (n: number) => [...filled(n, (out) => new TorchGenerator(3).normal(out, 0.5, 0.02))].slice(0, 3);
  assert.equal(draw(100), [0.4984671175479889, 0.5071976184844971, 0.48435965180397034]);
  assert.equal(draw(10), [0.5160655379295349, 0.5034966468811035, 0.5017795562744141]);
});

test('randperm is a permutation', () => {
  fc.assert(
    fc.property(fc.nat(300), fc.bigInt(0n, 2n ** 64n - 1n), (n, seed) => {
      const sorted = new TorchGenerator(seed).randperm(n).sort();
      assert.equal(
        sorted,
        Int32Array.from({ length: n }, (_, i) => i),
      );
    }),
  );
});

test('uniforms stay inside their range', () => {
  const drawn = filled(10_000, (out) => new TorchGenerator(11).uniform(out, -3, 5));
  assert.ok(drawn.every((value) => value >= -3 && value < 5));
  assertClose(drawn.reduce((sum, value) => sum + value, 0) / drawn.length, 1, { abs: 0.1 });
});

test('a position includes the second normal of a pair', () => {
  const generator = new TorchGenerator(3);
  generator.normal(new Float32Array(3));
  const position = generator.position();
  const next = (from: TorchGenerator) => {
    const out = new Float32Array(5);
    from.normal(out);
    return [...out, from.random32()];
  };
  const expected = next(generator);
  const other = new TorchGenerator(4);
  other.moveTo(position);
  assert.equal(next(other), expected);
});

test.run();
