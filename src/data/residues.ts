/**
 * The amino-acid alphabet and the published per-residue tables that sequence features and simulated proteins use.
 * Every table is in the order of {@link RESIDUES}; docs/sequence-features.md gives the full references.
 */

/** The 20 standard residues; a residue's index here is its number everywhere in this package. */
export const RESIDUES = 'ACDEFGHIKLMNPQRSTVWY';

/** Index of a residue that is not known (X). */
export const UNKNOWN_RESIDUE = 20;

/** Letters beyond the 20: the residues each may stand for. U (selenocysteine) and O (pyrrolysine) count as C and K. */
export const AMBIGUOUS: Readonly<Record<string, string>> = { B: 'DN', Z: 'EQ', J: 'IL', U: 'C', O: 'K', X: '' };

/** Groups of residues that replace one another in homologous proteins (Murphy, Wallqvist and Levy 2000, 10 letters). */
export const RESIDUE_GROUPS = ['A', 'C', 'DENQ', 'FWY', 'G', 'H', 'ILMV', 'KR', 'P', 'ST'] as const;

/** Physico-chemical scales, in the order of their feature columns. */
export const RESIDUE_SCALES: Readonly<Record<string, readonly number[]>> = {
  // Kyte and Doolittle 1982, hydropathy index.
  hydropathy: [
    1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8, 1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3,
  ],
  // Zamyatnin 1972, cubic angstroms.
  volume: [
    88.6, 108.5, 111.1, 138.4, 189.9, 60.1, 153.2, 166.7, 168.6, 166.7, 162.9, 114.1, 112.7, 143.8, 173.4, 89.0, 116.1,
    140.0, 227.8, 193.6,
  ],
  // Side-chain charge at pH 7, elementary charges; histidine is about one tenth protonated.
  charge: [0, 0, -1, -1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
  // Grantham 1974.
  polarity: [8.1, 5.5, 13.0, 12.3, 5.2, 9.0, 10.4, 5.2, 11.3, 4.9, 5.7, 11.6, 8.0, 10.5, 10.5, 9.2, 8.6, 5.9, 5.4, 6.2],
  // Zimmerman, Eliezer and Simha 1968, square angstroms.
  bulkiness: [
    11.5, 13.46, 11.68, 13.57, 19.8, 3.4, 13.69, 21.4, 15.71, 21.4, 16.25, 12.82, 17.43, 14.45, 14.28, 9.47, 15.77,
    21.57, 21.67, 18.03,
  ],
  // Bhaskaran and Ponnuswamy 1988.
  flexibility: [
    0.357, 0.346, 0.511, 0.497, 0.314, 0.544, 0.323, 0.462, 0.466, 0.365, 0.295, 0.463, 0.509, 0.493, 0.529, 0.507,
    0.444, 0.386, 0.305, 0.42,
  ],
  // Chou and Fasman 1978, conformational parameter for the helix.
  helix: [
    1.42, 0.7, 1.01, 1.51, 1.13, 0.57, 1.0, 1.08, 1.16, 1.21, 1.45, 0.67, 0.57, 1.11, 0.98, 0.77, 0.83, 1.06, 1.08,
    0.69,
  ],
  // Chou and Fasman 1978, conformational parameter for the sheet.
  sheet: [
    0.83, 1.19, 0.54, 0.37, 1.38, 0.75, 0.87, 1.6, 0.74, 1.3, 1.05, 0.89, 0.55, 1.1, 0.93, 0.75, 1.19, 1.7, 1.37, 1.47,
  ],
};

/** How often each residue occurs in UniProtKB/Swiss-Prot, per 10,000 (release statistics, rounded). */
export const RESIDUE_FREQUENCIES = [
  826, 138, 546, 672, 387, 707, 227, 591, 580, 965, 241, 406, 474, 393, 553, 664, 536, 686, 110, 292,
] as const;
