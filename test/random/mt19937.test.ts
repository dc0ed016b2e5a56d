import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Mt19937 } from '../../src/random/mt19937.ts';

const test = suite('Mt19937');

test('the C++ standard value: draw 10000 of the default seed 5489', () => {
  const engine = new Mt19937(5489);
  for (let i = 1; i < 10_000; i++) engine.next();
  assert.is(engine.next(), 4123659995);
});

test('seeding again starts the stream again, in the middle of a block too', () => {
  const engine = new Mt19937(0xffffffff);
  const first = Array.from({ length: 1000 }, () => engine.next());
  engine.seed(0xffffffff);
  assert.equal(
    Array.from({ length: 1000 }, () => engine.next()),
    first,
  );
});

test('goes on from a position, as often as asked', () => {
  const generator = new Mt19937(9);
  for (let i = 0; i < 700; i++) generator.next();
  const position = generator.position();
  const expected = Array.from({ length: 1300 }, () => generator.next());
  const other = new Mt19937(1);
  for (let round = 0; round < 2; round++) {
    other.moveTo(position);
    assert.equal(
      Array.from({ length: 1300 }, () => other.next()),
      expected,
    );
  }
});

test.run();
