/**
 * Choosing pairs so that no protein stands out: in what is chosen, each protein has the number of partners asked for
 * wherever that is possible. Without it a classifier could score by knowing which proteins have many partners.
 */
import type { TorchGenerator } from '../random/torch-generator.ts';

/** A pair of distinct proteins, by index. */
export type IndexPair = readonly [number, number];

/** An integer in [0, n). */
export function below(n: number, random: TorchGenerator): number {
  return random.random32() % n;
}

/** `items` in a random order (Fisher-Yates, in place). */
export function shuffle<T extends unknown[] | Int32Array>(items: T, random: TorchGenerator): T {
  for (let i = items.length - 1; i > 0; i--) {
    const j = below(i + 1, random);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}

const USED = 2;

/** The pairs among some proteins, each of one of two kinds (0 or 1), each to be taken once at most. */
export class PairPool {
  /** How many pairs of either kind there were. */
  readonly totals: readonly [number, number];
  private readonly members: readonly number[];
  private readonly random: TorchGenerator;
  /** Kind by position of the two proteins in `members`, or USED (the diagonal included). */
  private readonly kinds: Uint8Array;

  /** @param kindOf symmetric in its arguments. Memory: one byte for each ordered pair. */
  constructor(members: readonly number[], kindOf: (a: number, b: number) => 0 | 1, random: TorchGenerator) {
    const n = members.length;
    const totals: [number, number] = [0, 0];
    this.kinds = new Uint8Array(n * n).fill(USED);
    for (let a = 0; a < n; a++) {
      for (let b = a + 1; b < n; b++) {
        const kind = kindOf(members[a], members[b]);
        this.kinds[a * n + b] = kind;
        this.kinds[b * n + a] = kind;
        totals[kind]++;
      }
    }
    this.members = members;
    this.random = random;
    this.totals = totals;
  }

  /**
   * Takes `count` pairs of either kind, as evenly spread over the proteins as there are pairs for, and such that a
   * protein is in as many pairs of kind 0 as of kind 1. The caller sees to it that enough are left.
   */
  take(count: number): readonly [IndexPair[], IndexPair[]] {
    const n = this.members.length;
    const degrees = new Int32Array(n).fill(Math.floor((2 * count) / n));
    const order = shuffle(
      Int32Array.from({ length: n }, (_, i) => i),
      this.random,
    );
    for (const protein of order.subarray(0, (2 * count) % n)) degrees[protein]++;
    const ones = this.takeKind(1, count, degrees.slice());
    degrees.fill(0);
    for (const pair of ones) for (const protein of pair) degrees[protein]++;
    const zeros = this.takeKind(0, count, degrees);
    const named = (pairs: IndexPair[]) => pairs.map(([a, b]): IndexPair => [this.members[a], this.members[b]]);
    return [named(zeros), named(ones)];
  }

  /** @param need how many pairs each protein is still to get, summing to 2 * count; used up. */
  private takeKind(kind: 0 | 1, count: number, need: Int32Array): IndexPair[] {
    const n = this.members.length;
    const chosen: IndexPair[] = [];
    const open = shuffle(this.openPairs(kind), this.random);
    const choose = (a: number, b: number) => {
      this.mark(a, b, USED);
      need[a]--;
      need[b]--;
      chosen.push([a, b]);
    };
    for (let slack = 0; chosen.length < count; slack = 2 * slack + 1) {
      for (let i = 0; i < open.length && chosen.length < count; i++) {
        const a = Math.floor(open[i] / n);
        const b = open[i] % n;
        if (this.kinds[open[i]] === kind && need[a] > -slack && need[b] > -slack) choose(a, b);
      }
      if (slack === 0) while (chosen.length < count && this.exchange(kind, need, chosen));
    }
    return chosen;
  }

  /** Serves two open needs u, v by replacing a chosen pair (x, y) by (u, x) and (v, y). False where none will do. */
  private exchange(kind: 0 | 1, need: Int32Array, chosen: IndexPair[]): boolean {
    const n = need.length;
    const u = need.findIndex((left) => left > 0);
    need[u]--;
    const v = need.findIndex((left) => left > 0);
    const open = (a: number, b: number) => this.kinds[a * n + b] === kind;
    for (let i = 0; i < chosen.length; i++) {
      for (const [x, y] of [chosen[i], [chosen[i][1], chosen[i][0]]]) {
        if (!open(u, x) || !open(v, y)) continue;
        this.mark(x, y, kind);
        this.mark(u, x, USED);
        this.mark(v, y, USED);
        chosen[i] = [u, x];
        chosen.push([v, y]);
        need[v]--;
        return true;
      }
    }
    need[u]++;
    return false;
  }

  /** Pairs of this kind that are not taken, as a * n + b with a < b. */
  private openPairs(kind: 0 | 1): Int32Array {
    const n = this.members.length;
    const open = new Int32Array(this.totals[kind]);
    let length = 0;
    for (let a = 0; a < n; a++) {
      for (let b = a + 1; b < n; b++) if (this.kinds[a * n + b] === kind) open[length++] = a * n + b;
    }
    return open.subarray(0, length);
  }

  private mark(a: number, b: number, kind: number): void {
    const n = this.members.length;
    this.kinds[a * n + b] = kind;
    this.kinds[b * n + a] = kind;
  }
}
