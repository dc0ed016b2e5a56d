/** Protein sequences in FASTA files: read, checked and written. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Problem, RelicError, shown } from '../errors.ts';

/** One protein: `>id description` and its residues, one upper-case letter each. */
export interface FastaRecord {
  readonly id: string;
  readonly description?: string;
  readonly sequence: string;
}

/** The 20 residues and the codes B, J, O, U, X and Z are the whole alphabet. */
const NOT_RESIDUES = /[^A-Z]/;
/** UniProt's `sp|P12345|NAME_HUMAN` and `tr|...`. */
const UNIPROT_ID = /^(?:sp|tr)\|([^|\s]+)\|/;
const MAX_PROBLEMS = 10;

/** The proteins of one file in file order. A protein answers to its id and, when that is UniProt's, to its accession. */
export class Fasta {
  readonly path: string;
  readonly records: readonly FastaRecord[];
  /** SHA-256 of the file's bytes, in hex. */
  readonly sha256: string;
  private readonly byName: ReadonlyMap<string, string>;

  constructor(path: string, records: readonly FastaRecord[], byName: ReadonlyMap<string, string>, sha256: string) {
    this.path = path;
    this.records = records;
    this.byName = byName;
    this.sha256 = sha256;
  }

  /** Number of proteins. */
  get size(): number {
    return this.records.length;
  }

  has(id: string): boolean {
    return this.byName.has(id);
  }

  /** The sequence of `id` (an id or an accession), or undefined. */
  get(id: string): string | undefined {
    return this.byName.get(id);
  }

  /** Every name a protein answers to. */
  names(): IterableIterator<string> {
    return this.byName.keys();
  }
}

/**
 * Reads a FASTA file.
 * @throws RelicError RELIC_FASTA_INVALID when it cannot be read, or as {@link parseFasta}.
 */
export function readFasta(path: string): Fasta {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new RelicError('RELIC_FASTA_INVALID', 'cannot read the FASTA file', {
      where: path,
      received: (cause as NodeJS.ErrnoException).code ?? String(cause),
      fix: 'check the path (relative paths start at the working directory)',
      cause,
    });
  }
  return parseFasta(bytes, path);
}

/**
 * Parses FASTA: id = first word after `>`, lines of any length, either line end, lower case made upper case, one stop
 * sign (`*`) at the end of a sequence dropped.
 * @param path names the source in messages.
 * @throws RelicError RELIC_FASTA_INVALID listing, with line numbers, records without id or residues, names used twice,
 * text before the first record and characters that are no residue; or when there is no record.
 */
export function parseFasta(bytes: Uint8Array, path: string): Fasta {
  const records: FastaRecord[] = [];
  const byName = new Map<string, string>();
  const lineOfName = new Map<string, number>();
  const problems: Problem[] = [];
  let faults = 0;
  const report = (line: number, message: string) => {
    if (++faults <= MAX_PROBLEMS) problems.push({ where: `${path}:${line}`, message });
  };

  let header: string | undefined;
  let headerLine = 0;
  let parts: string[] = [];
  const finish = () => {
    if (header === undefined) return;
    const [id = '', ...rest] = header.split(/\s+/);
    const sequence = parts.join('').replace(/\*$/, '');
    parts = [];
    if (id === '') return report(headerLine, 'a record without an id: expected a word right after ">"');
    if (sequence === '') return report(headerLine, `record ${shown(id)} has no residues`);
    if (sequence.includes('*')) return report(headerLine, `record ${shown(id)} has a stop (*) before its end`);
    const accession = UNIPROT_ID.exec(id)?.[1];
    for (const name of accession === undefined ? [id] : [id, accession]) {
      const earlier = lineOfName.get(name);
      if (earlier !== undefined) return report(headerLine, `name ${shown(name)} is already used at line ${earlier}`);
      lineOfName.set(name, headerLine);
      byName.set(name, sequence);
    }
    const description = rest.join(' ');
    records.push(description === '' ? { id, sequence } : { id, description, sequence });
  };

  const text = new TextDecoder().decode(bytes); // also drops a byte order mark
  let line = 0;
  for (const raw of text.split('\n')) {
    line++;
    if (raw.startsWith('>')) {
      finish();
      header = raw.slice(1).trimEnd();
      headerLine = line;
      continue;
    }
    const residues = raw.trim().toUpperCase();
    if (residues === '') continue;
    if (header === undefined) {
      report(line, `expected a header line that starts with ">", received ${shown(residues)}`);
      break;
    }
    const illegal = NOT_RESIDUES.exec(residues.replaceAll('*', ''));
    if (illegal) report(line, `${shown(illegal[0])} is not a residue: expected the 20 letters, B, J, O, U, X or Z`);
    parts.push(residues);
  }
  finish();

  if (faults > 0) {
    const more = faults > MAX_PROBLEMS ? ` (the first ${MAX_PROBLEMS} of ${faults} faults)` : '';
    throw new RelicError('RELIC_FASTA_INVALID', `not a valid protein FASTA file${more}`, {
      where: path,
      problems,
      fix: 'correct these lines; the file must hold unaligned protein sequences, each under a header of its own',
    });
  }
  if (records.length === 0) {
    throw new RelicError('RELIC_FASTA_INVALID', 'no protein in the FASTA file', {
      where: path,
      expected: 'at least one record (">id", then residues)',
      received: `${bytes.length} bytes without a header`,
    });
  }
  return new Fasta(path, records, byName, createHash('sha256').update(bytes).digest('hex'));
}

/** FASTA text of `records`, sequences wrapped at `width` residues, each line ended by a line feed. */
export function formatFasta(records: readonly FastaRecord[], width = 60): string {
  let text = '';
  for (const { id, description, sequence } of records) {
    text += description === undefined ? `>${id}\n` : `>${id} ${description}\n`;
    for (let at = 0; at < sequence.length; at += width) text += `${sequence.slice(at, at + width)}\n`;
  }
  return text;
}
