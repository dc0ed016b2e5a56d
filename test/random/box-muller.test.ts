import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { boxMuller } from '../../src/random/box-muller.ts';
import { assertClose } from '../assert.ts';

const test = suite('boxMuller');

test('is the transform of Box and Muller, in every octant and over every exponent', () => {
  for (let exponent = 0; exponent <= 24; exponent++) {
    for (let step = 0; step < 64; step++) {
      const data = Float32Array.of(1 - 2 ** -exponent * (1 - step / 128), step / 64);
      const radius = Math.sqrt(-2 * Math.log(1 - data[0]));
      const angle = 2 * Math.PI * data[1];
      const expected = [radius * Math.cos(angle), radius * Math.sin(angle)];
      boxMuller(data, 0, 1, 0, 1);
      // Rounding the angle to float32 turns the pair by up to 4.2e-7.
      assertClose(data, expected, { abs: 6e-7 * (radius + 1), what: `2^-${exponent}, step ${step}` });
    }
  }
});

test('takes mean and deviation, and a uniform of 0 gives the mean', () => {
  const data = Float32Array.of(0, 0.3);
  boxMuller(data, 0, 1, 1.5, 2);
  assert.equal([...data], [1.5, 1.5]);
  const scaled = Float32Array.of(0.5, 0.125);
  boxMuller(scaled, 0, 1, 10, 2);
  assertClose(scaled[0], 10 + 2 * Math.sqrt(2 * Math.LN2) * Math.SQRT1_2, { rel: 1e-6 });
});

test.run();
