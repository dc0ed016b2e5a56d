/** How fast this machine multiplies matrices, for an estimate of time in a plan. */
import { matmul, operand } from '../engine/typescript/matmul.ts';

/** About as wide as the model's own products. */
const SIZE = 192;

/**
 * Floating-point operations a second of the TypeScript engine's matrix product, measured.
 * @param milliseconds to measure for, after a first product that lets the compiler warm up.
 */
export function measureFlopRate(milliseconds = 200): number {
  const square = () => operand(new Float32Array(SIZE * SIZE).fill(0.5), SIZE);
  const [left, right, out] = [square(), square(), square()];
  const multiply = () => matmul(SIZE, SIZE, SIZE, left, right, out, false);
  multiply();
  let products = 0;
  const started = performance.now();
  let elapsed = 0;
  do {
    multiply();
    products++;
    elapsed = performance.now() - started;
  } while (elapsed < milliseconds);
  return (products * 2 * SIZE ** 3 * 1000) / elapsed;
}
