import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPthBytes } from '../../../src/artifacts/checkpoint/pth.ts';
import {
  bfloat16ToFloat32,
  bytesOf,
  elementsOf,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  toFloat32,
} from '../../../src/artifacts/checkpoint/tensors.ts';
import { goldenDir } from '../../golden.ts';

const test = suite('checkpoint/tensors');
const golden = (name: string) => readPthBytes(readFileSync(join(goldenDir(), 'vectors', name))).tensors;

test('every binary16 survives the way through float32', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((h) => (h & 0x7c00) !== 0x7c00 || !(h & 0x3ff));
  assert.equal(float32ToFloat16(float16ToFloat32(all)), all);
});

test('every bfloat16 but NaN survives the way through float32', () => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((b) => (b & 0x7f80) !== 0x7f80 || !(b & 0x7f));
  assert.equal(float32ToBfloat16(bfloat16ToFloat32(all)), all);
});

test('binary16 rounds ties to even, overflows at 65520 and keeps subnormals', () => {
  const cases = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 1.5 * 2 ** -24, 2 ** -24, -0, -1 / 3];
  const bits = [0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 2, 1, 0x8000, 0xb555];
  assert.equal([...float32ToFloat16(Float32Array.from(cases))], bits);
});

test('bfloat16 rounds ties to even and overflows to infinity', () => {
  const cases = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4e38, -2];
  assert.equal([...float32ToBfloat16(Float32Array.from(cases))], [0x3f80, 0x3f82, 0x7f80, 0xc000]);
});

test('NaN stays NaN both ways', () => {
  const nan = Float32Array.of(Number.NaN);
  assert.ok(Number.isNaN(float16ToFloat32(float32ToFloat16(nan))[0]));
  assert.ok(Number.isNaN(bfloat16ToFloat32(float32ToBfloat16(nan))[0]));
});

test('float32 to float16 gives the bits of PyTorch', () => {
  const [full, half] = [golden('best_model.pth'), golden('half.pth')];
  assert.is(half.size, 4);
  for (const [name, tensor] of half) {
    assert.is(tensor.dtype, 'float16');
    assert.equal(float32ToFloat16(full.get(name)!.data as Float32Array), tensor.data);
  }
});

test('toFloat32 returns float32 data itself and converts the rest', () => {
  const data = Float32Array.of(1, 2);
  assert.is(toFloat32({ dtype: 'float32', data }), data);
  assert.equal([...toFloat32({ dtype: 'int64', data: BigInt64Array.of(-3n) })], [-3]);
  assert.equal([...toFloat32({ dtype: 'float64', data: Float64Array.of(0.1) })], [Math.fround(0.1)]);
  assert.equal([...toFloat32({ dtype: 'float16', data: Uint16Array.of(0x3c00) })], [1]);
  assert.equal([...toFloat32({ dtype: 'bfloat16', data: Uint16Array.of(0x3f80) })], [1]);
});

test('bytes at an odd place become elements all the same', () => {
  for (const odd of [new Uint8Array(9).subarray(1), Buffer.from(new ArrayBuffer(9)).subarray(1)]) {
    odd.set(bytesOf(Float32Array.of(1.5, -2)));
    assert.equal([...elementsOf('float32', odd)], [1.5, -2]);
  }
});

test.run();
