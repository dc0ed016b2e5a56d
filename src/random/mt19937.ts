/** The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), the engine behind PyTorch's CPU generator. */

const SIZE = 624;
const SHIFT = 397;
const MATRIX = 0x9908b0df;
const UPPER = 0x80000000;
const LOWER = 0x7fffffff;

/** A place in a stream. */
export interface Mt19937Position {
  /** (624) */
  readonly words: Int32Array;
  /** Words of them that were used, up to 624. */
  readonly index: number;
}

/** A stream of unsigned 32-bit integers, period 2^19937 - 1. */
export class Mt19937 {
  private readonly state = new Int32Array(SIZE);
  private index = SIZE;

  /** @param seed an unsigned 32-bit integer. */
  constructor(seed: number) {
    this.seed(seed);
  }

  /** Starts the stream again from `seed`, an unsigned 32-bit integer. */
  seed(seed: number): void {
    const { state } = this;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const previous = state[i - 1];
      state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
    this.index = SIZE;
  }

  /** Where the stream stands. */
  position(): Mt19937Position {
    return { words: this.state.slice(), index: this.index };
  }

  /** Goes on from a {@link position}. */
  moveTo({ words, index }: Mt19937Position): void {
    this.state.set(words);
    this.index = index;
  }

  /** The next unsigned 32-bit integer. */
  next(): number {
    if (this.index === SIZE) this.twist();
    let y = this.state[this.index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  private twist(): void {
    const { state } = this;
    for (let i = 0; i < SIZE; i++) {
      const next = i + 1 < SIZE ? i + 1 : 0;
      const far = i + SHIFT < SIZE ? i + SHIFT : i + SHIFT - SIZE;
      const y = (state[i] & UPPER) | (state[next] & LOWER);
      state[i] = state[far] ^ (y >>> 1) ^ (-(y & 1) & MATRIX);
    }
    this.index = 0;
  }
}
