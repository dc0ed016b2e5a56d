/** The models and the lengths of the oracle's bench_torch.py. */
import { buildModel } from '../../dist/index.js';
import { INPUT_DIM, presetConfig } from './preset-config.mjs';

export { INPUT_DIM, presetConfig };

export function presetProgram(preset, rate) {
  return buildModel('v3', presetConfig(preset, rate), { posWeight: 1, labelSmoothing: 0 });
}

/** `fixed:N`, or `pring`: lengths like those of real proteins, log-normal within 50 to 1000, mean about 410. */
export function drawLengths(kind, count, generator) {
  if (kind.startsWith('fixed:')) return new Array(count).fill(Number(kind.slice('fixed:'.length)));
  const draws = new Float32Array(count);
  generator.normal(draws);
  return Array.from(draws, (x) => Math.trunc(Math.min(1000, Math.max(50, Math.exp(x * 0.62 + 5.86)))));
}
