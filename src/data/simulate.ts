/**
 * A simulated interactome: proteins carry domains, and two proteins interact when their domains do. The label can be
 * learned only by recognising a domain in each protein and knowing the table of partners: in every split each protein
 * is in as many interacting as other pairs, and domains do not differ in hydropathy. All draws are integers, so one
 * seed gives the same bytes everywhere.
 */
import { TorchGenerator } from '../random/torch-generator.ts';
import { below, PairPool, shuffle } from './even-pairs.ts';
import { type FastaRecord, formatFasta } from './fasta.ts';
import { RESIDUE_FREQUENCIES, RESIDUE_GROUPS, RESIDUE_SCALES, RESIDUES } from './residues.ts';
import {
  checkPairs,
  checkSimulateOptions,
  MOTIF_MAX,
  MOTIF_MIN,
  SIMULATE_DEFAULTS,
  type SimulateOptions,
  SPLIT_SHARES,
  splitCounts,
} from './simulate-options.ts';

/** Protein, protein, whether they interact. */
export type LabelledPair = readonly [a: string, b: string, label: 0 | 1];

export interface Interactome {
  /** A description names the families and where (from 1, inclusive) their motifs lie: `domains=2:5-15`. */
  readonly fasta: readonly FastaRecord[];
  readonly train: readonly LabelledPair[];
  readonly valid: readonly LabelledPair[];
  readonly test: readonly LabelledPair[];
  /** For each family the one that it binds; `partners[partners[f]] === f`. */
  readonly partners: readonly number[];
}

/** A file to be written: its name within the directory and its text. */
export interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** Residues of a motif's repeated unit. */
const UNIT = 3;
/** One protein in this many carries a second domain. */
const SECOND_DOMAIN_ONE_IN = 5;
/** One residue in this many of each copy of a motif is replaced by another of its group. */
const SUBSTITUTION_ONE_IN = 8;
/** A motif's mean hydropathy lies within this of the background's, in tenths of a unit. */
const HYDROPATHY_TOLERANCE = 1;

const HYDROPATHY_TENTHS = RESIDUE_SCALES.hydropathy.map((value) => Math.round(value * 10));
const FREQUENCY_TOTAL = RESIDUE_FREQUENCIES.reduce((sum: number, f) => sum + f, 0);
const BACKGROUND_HYDROPATHY =
  RESIDUE_FREQUENCIES.reduce((sum: number, f, r) => sum + f * HYDROPATHY_TENTHS[r], 0) / FREQUENCY_TOTAL;

/**
 * Simulates an interactome. Pure: its options alone decide the result.
 * @throws RelicError RELIC_USAGE for options that cannot be met, naming the nearest value that can.
 */
export function simulateInteractome(options: SimulateOptions = SIMULATE_DEFAULTS): Interactome {
  checkSimulateOptions(options);
  const random = new TorchGenerator(options.seed);
  const partners = drawPartners(options.domains, random);
  const taken = new Set<string>();
  const motifs = Array.from({ length: options.domains }, () => drawMotif(taken, random));
  const families = drawFamilies(options, random);
  const fasta = families.map((own, i) => drawProtein(i, own, motifs, options, random));

  const interact = (a: number, b: number) => (families[a].some((f) => families[b].includes(partners[f])) ? 1 : 0);
  const groups = options.disjoint ? disjointGroups(families) : [families.map((_, i) => i)];
  const pools = groups.map((group) => new PairPool(group, interact, random));
  checkPairs(options, pools);
  const counts = splitCounts(options.pairs / 2);
  // Train comes last: it has the most room for what the smaller splits leave.
  const [test, valid, train] = [2, 1, 0].map((split) => {
    const [others, interacting] = pools[options.disjoint ? split : 0].take(counts[split]);
    const flips = split === 0 ? Math.round(options.noise * counts[split]) : 0;
    const rows = [others, interacting].flatMap((pairs, kind) =>
      shuffle(pairs, random).map(([a, b], i): LabelledPair => {
        const [first, second] = below(2, random) === 0 ? [a, b] : [b, a];
        return [fasta[first].id, fasta[second].id, i < flips === (kind === 0) ? 1 : 0];
      }),
    );
    return shuffle(rows, random);
  });
  return { fasta, train, valid, test, partners };
}

/** Tab-separated lines: protein, protein, label. */
export function formatPairs(rows: readonly LabelledPair[]): string {
  return rows.map((row) => `${row.join('\t')}\n`).join('');
}

/** The files of a simulated benchmark: proteins.fasta, train.txt, valid.txt, test.txt and README.txt. */
export function simulationFiles(options: SimulateOptions = SIMULATE_DEFAULTS): NamedText[] {
  const simulated = simulateInteractome(options);
  return [
    { name: 'proteins.fasta', text: formatFasta(simulated.fasta) },
    { name: 'train.txt', text: formatPairs(simulated.train) },
    { name: 'valid.txt', text: formatPairs(simulated.valid) },
    { name: 'test.txt', text: formatPairs(simulated.test) },
    { name: 'README.txt', text: readme(options, simulated) },
  ];
}

function readme(options: SimulateOptions, { fasta, train, valid, test, partners }: Interactome): string {
  const split = (name: string, rows: readonly LabelledPair[]) =>
    `  ${name}  ${rows.length} pairs, ${rows.filter((row) => row[2] === 1).length} of them interacting`;
  return `${[
    'A simulated protein interactome: invented proteins, not biological data. Written by relic-train simulate.',
    '',
    'Each protein carries one domain, sometimes two, in a random background; two proteins interact when a domain of',
    'one binds a domain of the other. Every protein is in as many interacting as other pairs, in every split.',
    '',
    `  proteins.fasta  ${fasta.length} proteins of ${options.minLength} to ${options.maxLength} residues; the header lists family:first-last`,
    split('train.txt', train),
    split('valid.txt', valid),
    split('test.txt ', test),
    '',
    options.disjoint ? 'No protein is in two splits.' : 'The splits share proteins, but no pair is in two splits.',
    `Families that bind: ${partners
      .map((other, f) => (f <= other ? `${f}-${other}` : ''))
      .filter(Boolean)
      .join(' ')}.`,
    `Share of training labels flipped: ${options.noise}.`,
    `Options: ${JSON.stringify(options)}`,
  ].join('\n')}\n`;
}

/**
 * Families in twos, in a random order: the first two bind each other, the next two each itself, and so on by turns. A
 * family left over binds itself.
 */
function drawPartners(domains: number, random: TorchGenerator): number[] {
  const order = shuffle(
    Array.from({ length: domains }, (_, f) => f),
    random,
  );
  const partners = order.slice();
  for (let i = 0; i < domains; i++) {
    const crossed = i % 4 < 2 && (i ^ 1) < domains;
    partners[order[i]] = order[crossed ? i ^ 1 : i];
  }
  return partners;
}

/**
 * A short tandem repeat (as in collagen's G-X-Y or the RGG box): a unit of three distinct residues, over and over, with
 * the background's mean hydropathy. Few sorts of k-mer stand for a family, so a small model finds it in few examples.
 * @param taken residues of the units drawn before, which no two families share; added to.
 */
function drawMotif(taken: Set<string>, random: TorchGenerator): number[] {
  const length = MOTIF_MIN + below(MOTIF_MAX - MOTIF_MIN + 1, random);
  for (;;) {
    const unit = Array.from({ length: UNIT }, () => drawResidue(random));
    const motif = Array.from({ length }, (_, i) => unit[i % UNIT]);
    const residues = unit.toSorted((a, b) => a - b).join(' ');
    const hydropathy = motif.reduce((sum, residue) => sum + HYDROPATHY_TENTHS[residue], 0);
    const even = Math.abs(hydropathy - length * BACKGROUND_HYDROPATHY) <= length * HYDROPATHY_TOLERANCE;
    if (!even || new Set(unit).size < UNIT || taken.has(residues)) continue;
    taken.add(residues);
    return motif;
  }
}

/** The one or two families of each protein; first families are as evenly spread as they can be. */
function drawFamilies({ proteins, domains }: SimulateOptions, random: TorchGenerator): number[][] {
  const first = shuffle(
    Array.from({ length: proteins }, (_, i) => i % domains),
    random,
  );
  return first.map((family) =>
    below(SECOND_DOMAIN_ONE_IN, random) === 0
      ? [family, (family + 1 + below(domains - 1, random)) % domains]
      : [family],
  );
}

function drawProtein(
  index: number,
  families: readonly number[],
  motifs: readonly (readonly number[])[],
  { minLength, maxLength }: SimulateOptions,
  random: TorchGenerator,
): FastaRecord {
  const length = minLength + below(maxLength - minLength + 1, random);
  const free = families.reduce((left, family) => left - motifs[family].length, length);
  const residues: number[] = [];
  const places: string[] = [];
  // Each motif starts after a number of background residues drawn from 0 .. free; in ascending order.
  const starts = families.map(() => below(free + 1, random)).sort((a, b) => a - b);
  let written = 0;
  families.forEach((family, i) => {
    for (; written < starts[i]; written++) residues.push(drawResidue(random));
    places.push(`${family}:${residues.length + 1}-${residues.length + motifs[family].length}`);
    residues.push(...motifs[family].map((residue) => substituted(residue, random)));
  });
  while (residues.length < length) residues.push(drawResidue(random));
  return {
    id: `SIM${String(index + 1).padStart(4, '0')}`,
    description: `domains=${places.join(',')}`,
    sequence: residues.map((residue) => RESIDUES[residue]).join(''),
  };
}

function drawResidue(random: TorchGenerator): number {
  let left = below(FREQUENCY_TOTAL, random);
  let residue = 0;
  while (left >= RESIDUE_FREQUENCIES[residue]) left -= RESIDUE_FREQUENCIES[residue++];
  return residue;
}

function substituted(residue: number, random: TorchGenerator): number {
  if (below(SUBSTITUTION_ONE_IN, random) !== 0) return residue;
  const group = RESIDUE_GROUPS.find((letters) => letters.includes(RESIDUES[residue])) as string;
  const others = group.replace(RESIDUES[residue], '');
  return others === '' ? residue : RESIDUES.indexOf(others[below(others.length, random)]);
}

/**
 * Proteins of train, valid and test, families in the same shares. Sizes go with the square roots of the splits' shares
 * of pairs, as the pairs among n proteins grow with n squared.
 */
function disjointGroups(families: readonly (readonly number[])[]): number[][] {
  const seen = new Map<number, number>();
  const ranks = families.map(([first]) => {
    const rank = seen.get(first) ?? 0;
    seen.set(first, rank + 1);
    return rank;
  });
  const order = families.map((_, i) => i).sort((a, b) => ranks[a] - ranks[b] || families[a][0] - families[b][0]);
  const roots = SPLIT_SHARES.map(Math.sqrt);
  const total = roots.reduce((sum, root) => sum + root, 0);
  const valid = Math.round((families.length * roots[1]) / total);
  const test = Math.round((families.length * roots[2]) / total);
  return [order.slice(valid + test), order.slice(0, valid), order.slice(valid, valid + test)];
}
