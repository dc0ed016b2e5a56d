// Splits one labelled PRING pair file 70/10/20 by a seeded shuffle, and puts the FASTA file beside the splits:
//
//   node scripts/prepare-pring.mjs PRING_DIR/yeast/yeast_test_ppi.txt PRING_DIR/yeast/yeast_simple.fasta data/pring/yeast
//
// The order is torch.randperm's under seed 47, so that a Python user can make the same split.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TorchGenerator } from '../dist/random/torch-generator.js';

const SEED = 47;
const [pairs, fasta, out] = process.argv.slice(2);
if (out === undefined) {
  console.error('usage: node scripts/prepare-pring.mjs PAIRS FASTA OUT_DIR');
  process.exit(2);
}
const lines = readFileSync(pairs, 'utf8')
  .split(/\r?\n/)
  .filter((line) => line.trim() !== '');
const order = new TorchGenerator(SEED).randperm(lines.length);
const ends = [0, Math.round(lines.length * 0.7), Math.round(lines.length * 0.8), lines.length];
mkdirSync(out, { recursive: true });
['train', 'valid', 'test'].forEach((name, i) => {
  const split = Array.from(order.slice(ends[i], ends[i + 1]), (line) => lines[line]);
  writeFileSync(join(out, `${name}.txt`), `${split.join('\n')}\n`);
  console.log(`${join(out, `${name}.txt`)}: ${split.length} pairs`);
});
copyFileSync(fasta, join(out, 'proteins.fasta'));
