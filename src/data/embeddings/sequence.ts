/**
 * The `sequence` embedding source: features of each residue computed from a FASTA file alone, for users without a
 * protein language model. V3 has no positional encoding, so the order of neighbouring residues is put into the
 * features. Every column and constant: docs/sequence-features.md.
 */
import { createHash } from 'node:crypto';
import { nearest, RelicError, shown } from '../../errors.ts';
import { type Fasta, readFasta } from '../fasta.ts';
import { AMBIGUOUS, RESIDUE_GROUPS, RESIDUE_SCALES, RESIDUES, UNKNOWN_RESIDUE } from '../residues.ts';
import type { EmbeddingSource } from './source.ts';

/** Change it whenever a feature value changes: packed stores are found by it. */
const RECIPE = 'relic-sequence-1';
const MIN_DIM = 32;

const ONE_HOT = RESIDUES.length + 1;
const SCALES = Object.values(RESIDUE_SCALES);
const POSITION = ONE_HOT + SCALES.length;
const LOG_LENGTH = POSITION + 1;
const FIXED = LOG_LENGTH + 1;

/** Brings a one-hot column of a residue with frequency 1/20 to a variance near 1. */
const ONE_HOT_VALUE = Math.sqrt(20);
/** Centre and spread of ln(length) over the PRING yeast proteins, rounded. */
const LOG_LENGTH_MEAN = 5.8;
const LOG_LENGTH_STD = 0.7;

/** Symbols of k-mer windows beyond the residues or groups: unknown residue, then past either end of the protein. */
const BASE_3 = RESIDUES.length + 2;
const BASE_5 = RESIDUE_GROUPS.length + 2;

/** Per-residue features of the proteins of one FASTA file. */
export class SequenceSource implements EmbeddingSource {
  readonly name = 'sequence';
  readonly dim: number;
  /** SHA-256 (hex) over the recipe's version, `dim` and the file's bytes. */
  readonly fingerprint: string;
  private readonly fasta: Fasta;

  /**
   * @param options.path a FASTA file. @param options.dim features a residue, at least 32 (`model_config.input_dim`).
   * @throws RelicError RELIC_EMBEDDING_INVALID for a bad `dim`; RELIC_FASTA_INVALID as `readFasta`.
   */
  constructor({ path, dim }: { readonly path: string; readonly dim: number }) {
    if (!Number.isInteger(dim) || dim < MIN_DIM) {
      throw new RelicError('RELIC_EMBEDDING_INVALID', 'sequence features need more columns', {
        where: 'model_config.input_dim',
        expected: `an integer of at least ${MIN_DIM} (${FIXED} fixed columns, then k-mer columns)`,
        received: shown(dim),
        fix: `set model_config.input_dim to ${MIN_DIM} or more; 64 is a good start`,
      });
    }
    this.dim = dim;
    this.fasta = readFasta(path);
    this.fingerprint = createHash('sha256').update(`${RECIPE}\n${dim}\n${this.fasta.sha256}\n`).digest('hex');
  }

  has(id: string): boolean {
    return this.fasta.has(id);
  }

  /** Number of residues of `id`. @throws RelicError RELIC_EMBEDDING_MISSING */
  length(id: string): number {
    return this.sequence(id).length;
  }

  /** Features of `id`, `[length, dim]` row-major, one row a residue. @throws RelicError RELIC_EMBEDDING_MISSING */
  rows(id: string): Float32Array {
    return sequenceFeatures(this.sequence(id), this.dim);
  }

  describe(): string {
    return `sequence: ${this.dim} features a residue, ${this.fasta.size} proteins of ${this.fasta.path}`;
  }

  private sequence(id: string): string {
    const sequence = this.fasta.get(id);
    if (sequence !== undefined) return sequence;
    const close = nearest(id, this.fasta.names());
    throw new RelicError('RELIC_EMBEDDING_MISSING', `no sequence for protein ${shown(id)}`, {
      where: this.fasta.path,
      fix: `add it to the FASTA file or remove its pairs${close === undefined ? '' : `; the nearest id is ${shown(close)}`}`,
    });
  }
}

/** Features of a sequence of upper-case letters: `[sequence.length, dim]` row-major. `dim` is at least 32. */
export function sequenceFeatures(sequence: string, dim: number): Float32Array {
  const length = sequence.length;
  const out = new Float32Array(length * dim);
  const letters = Uint8Array.from({ length }, (_, i) => sequence.charCodeAt(i));
  const threes = kmerCodes(letters, 3, BASE_3, SYMBOL_3);
  const fives = kmerCodes(letters, 5, BASE_5, SYMBOL_5);
  const columns3 = (dim - FIXED + 1) >> 1;
  const logLength = (Math.log(length) - LOG_LENGTH_MEAN) / LOG_LENGTH_STD;
  for (let i = 0; i < length; i++) {
    const row = i * dim;
    out.set(LETTER_FEATURES[letters[i]], row);
    out[row + POSITION] = Math.sqrt(3) * ((2 * i + 1) / length - 1);
    out[row + LOG_LENGTH] = logLength;
    writeSigns(out, row + FIXED, columns3, threes[i], 3);
    writeSigns(out, row + FIXED + columns3, dim - FIXED - columns3, fives[i], 5);
  }
  return out;
}

/** Columns 0 .. 28 of each letter: one-hot, then standardised scales; an ambiguous letter is the mean of its residues. */
const LETTER_FEATURES: Float32Array[] = byLetter((letter) => {
  const features = new Float32Array(POSITION);
  const residues = [...(AMBIGUOUS[letter] ?? letter)].map((residue) => RESIDUES.indexOf(residue));
  if (residues.length === 0) features[UNKNOWN_RESIDUE] = ONE_HOT_VALUE;
  for (const residue of residues) {
    features[residue] = ONE_HOT_VALUE / residues.length;
    SCALES.forEach((scale, s) => {
      features[ONE_HOT + s] += standardised(scale)[residue] / residues.length;
    });
  }
  return features;
});

/** Symbols of the 3-mer alphabet (residues) and the 5-mer alphabet (groups); letters with several meanings are unknown. */
const SYMBOL_3 = byLetter((letter) => {
  const meaning = AMBIGUOUS[letter] ?? letter;
  return meaning.length === 1 ? RESIDUES.indexOf(meaning) : UNKNOWN_RESIDUE;
});
const SYMBOL_5 = byLetter((letter) => {
  const meaning = AMBIGUOUS[letter] ?? letter;
  return meaning.length === 1 ? RESIDUE_GROUPS.findIndex((group) => group.includes(meaning)) : RESIDUE_GROUPS.length;
});

function byLetter<T>(value: (letter: string) => T): T[] {
  const table: T[] = [];
  for (const letter of RESIDUES + Object.keys(AMBIGUOUS).join('')) table[letter.charCodeAt(0)] = value(letter);
  return table;
}

/** To mean 0 and (population) variance 1 over the 20 residues. */
function standardised(scale: readonly number[]): number[] {
  const mean = scale.reduce((sum, x) => sum + x, 0) / scale.length;
  const std = Math.sqrt(scale.reduce((sum, x) => sum + (x - mean) ** 2, 0) / scale.length);
  return scale.map((x) => (x - mean) / std);
}

/** The number, in base `base`, of the k symbols centred on each residue; the leftmost symbol is the highest digit. */
function kmerCodes(letters: Uint8Array, k: number, base: number, symbols: readonly number[]): Int32Array {
  const half = k >> 1;
  const outside = base - 1;
  const codes = new Int32Array(letters.length);
  for (let i = 0; i < letters.length; i++) {
    let code = 0;
    for (let j = i - half; j <= i + half; j++) {
      code = code * base + (j < 0 || j >= letters.length ? outside : symbols[letters[j]]);
    }
    codes[i] = code;
  }
  return codes;
}

/** Writes `count` values of +1 or -1: bits, lowest first, of one hash for every 32 columns. */
function writeSigns(out: Float32Array, at: number, count: number, code: number, k: number): void {
  let bits = 0;
  for (let j = 0; j < count; j++) {
    if ((j & 31) === 0) bits = hash32(code, k + 16 * (j >> 5));
    out[at + j] = (bits & 1) * 2 - 1;
    bits >>>= 1;
  }
}

/** A 32-bit hash of a code and a salt: two multiplications, then MurmurHash3's finaliser (Appleby 2008). */
function hash32(code: number, salt: number): number {
  let h = Math.imul(code + 1, 0x9e3779b1) ^ Math.imul(salt, 0x85ebca77);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
