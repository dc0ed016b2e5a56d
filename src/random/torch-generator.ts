/**
 * PyTorch's CPU random generator, so that one seed gives the same weights, embeddings and batch order as it does there.
 * All values are equal bit for bit to those of torch's vector kernels (contract 1.5), except that normals drawn fewer
 * than 16 at once go through the platform's double-precision log, sine and cosine.
 */
import { boxMuller } from './box-muller.ts';
import { Mt19937, type Mt19937Position } from './mt19937.ts';

const TWO_TO_32 = 2 ** 32;
/** torch draws 64 bits for ranges from here on, to keep the modulo bias small. */
const WIDE_RANGE = 2 ** 28;
/** Below this length torch draws each normal by itself in double precision; from here on, in blocks of this length. */
const BLOCK = 16;

/** Where a generator stands: `torch.Generator.get_state`. */
export interface GeneratorPosition extends Mt19937Position {
  /** A normal that is drawn already and waits for the next call. */
  readonly spareNormal?: number | undefined;
}

/** The draws of `torch.Generator` on the CPU. Each method consumes the stream exactly as its torch namesake does. */
export class TorchGenerator {
  private readonly engine = new Mt19937(0);
  /** The second normal of the last pair that the scalar path drew. It outlives calls, as in torch. */
  private spareNormal: number | undefined;

  /** @param seed as for {@link manualSeed}. */
  constructor(seed: number | bigint) {
    this.manualSeed(seed);
  }

  /** Starts again from an integer `seed`. As in torch, at most 64 bits are taken and only the low 32 have an effect. */
  manualSeed(seed: number | bigint): void {
    this.engine.seed(Number(BigInt.asUintN(32, BigInt(seed))));
    this.spareNormal = undefined;
  }

  /** Where the stream stands, for {@link moveTo}. */
  position(): GeneratorPosition {
    return { ...this.engine.position(), spareNormal: this.spareNormal };
  }

  /** Goes on with the draws that followed `position`. */
  moveTo(position: GeneratorPosition): void {
    this.engine.moveTo(position);
    this.spareNormal = position.spareNormal;
  }

  /** The next unsigned 32-bit integer. */
  random32(): number {
    return this.engine.next();
  }

  /** An integer in [0, 2^63): `torch.empty((), dtype=torch.int64).random_()`. */
  random64(): bigint {
    return BigInt.asUintN(63, this.next64());
  }

  /** Fills `out` with float32 uniforms in [from, to): `Tensor.uniform_`. */
  uniform(out: Float32Array, from = 0, to = 1): void {
    const start = Math.fround(from);
    const width = Math.fround(Math.fround(to) - start);
    // One rounding, at the store: torch's kernel fuses the product and the sum.
    for (let i = 0; i < out.length; i++) out[i] = this.uniform24() * width + start;
  }

  /** Fills `out` with float32 normals of this mean and standard deviation: `Tensor.normal_`. */
  normal(out: Float32Array, mean = 0, std = 1): void {
    const n = out.length;
    if (n < BLOCK) {
      for (let i = 0; i < n; i++) out[i] = this.scalarNormal() * std + mean;
      return;
    }
    const center = Math.fround(mean);
    const scale = Math.fround(std);
    for (let i = 0; i < n; i++) out[i] = this.uniform24();
    for (let at = 0; at + BLOCK <= n; at += BLOCK) normalBlock(out, at, center, scale);
    if (n % BLOCK !== 0) {
      // torch overwrites the last whole block with fresh draws rather than finishing a partial one.
      for (let i = n - BLOCK; i < n; i++) out[i] = this.uniform24();
      normalBlock(out, n - BLOCK, center, scale);
    }
  }

  /** A permutation of 0 .. n-1, for n below 2^32 / 20: `torch.randperm(n)`. */
  randperm(n: number): Int32Array {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const j = i + (this.random32() % (n - i));
      const kept = order[i];
      order[i] = order[j];
      order[j] = kept;
    }
    return order;
  }

  /** `n` integers in [0, high), high at most 2^53: `torch.randint(high, (n,))`. */
  randint(high: number, n: number): Float64Array {
    const out = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      out[i] = high < WIDE_RANGE ? this.random32() % high : Number(this.next64() % BigInt(high));
    }
    return out;
  }

  private next64(): bigint {
    const high = BigInt(this.random32());
    return (high << 32n) | BigInt(this.random32());
  }

  /** A float32 uniform in [0, 1): 24 random bits. */
  private uniform24(): number {
    return (this.engine.next() & 0xffffff) * 2 ** -24;
  }

  /** A double uniform in [0, 1): 53 random bits of a 64-bit draw. */
  private uniform53(): number {
    const high = this.random32() & 0x1fffff;
    return (high * TWO_TO_32 + this.random32()) * 2 ** -53;
  }

  /** One standard normal in double precision; draws come in pairs and the second waits for the next call. */
  private scalarNormal(): number {
    const spare = this.spareNormal;
    if (spare !== undefined) {
      this.spareNormal = undefined;
      return spare;
    }
    const angle = 2 * Math.PI * this.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform53()));
    this.spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** Normals from the 16 uniforms at `at`, in place: element j pairs with j + 8. */
function normalBlock(data: Float32Array, at: number, mean: number, std: number): void {
  for (let j = at; j < at + BLOCK / 2; j++) boxMuller(data, j, j + BLOCK / 2, mean, std);
}
