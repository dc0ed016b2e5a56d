/** Evens out the work of the ranks of a step: attention and products cost by residues, not by pairs. */

/**
 * The same pairs, dealt so that each rank gets as many as before and about as many residues as any other: longest pair
 * first, each to the rank with the fewest residues that still has room (Graham 1969, with room).
 *
 * @param batches the pairs of each rank for one step, as indices.
 * @param tokens residues of a pair by its index.
 * @returns new batches; the pairs of each stay in the order in which they came.
 */
export function balanceTokens(batches: readonly Int32Array[], tokens: (pair: number) => number): readonly Int32Array[] {
  const pairs = batches.flatMap((batch) => Array.from(batch, (pair) => ({ pair, tokens: tokens(pair) })));
  const order = pairs.map((_, at) => at).sort((a, b) => pairs[b].tokens - pairs[a].tokens || a - b);
  const ranks = batches.map(({ length }) => ({ room: length, tokens: 0, taken: [] as number[] }));
  for (const at of order) {
    const open = ranks.filter(({ room }) => room > 0);
    const rank = open.reduce((least, each) => (each.tokens < least.tokens ? each : least));
    rank.room--;
    rank.tokens += pairs[at].tokens;
    rank.taken.push(at);
  }
  return ranks.map(({ taken }) =>
    Int32Array.from(
      taken.sort((a, b) => a - b),
      (at) => pairs[at].pair,
    ),
  );
}
