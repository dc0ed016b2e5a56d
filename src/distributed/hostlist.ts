/** Slurm's lists of nodes, `n[1-2],gpu[003-005,9]`: what they name, and where the first of them can be reached. */
import { execFile } from 'node:child_process';
import { RelicError, shown } from '../errors.ts';

/** More names than any cluster has nodes; a longer list is a slip of the pen, not one to keep in memory. */
const MOST_HOSTS = 1 << 20;
const SCONTROL_MS = 5000;

/** Runs `scontrol` with these words; undefined where it is not there or fails. */
export type Scontrol = (...words: string[]) => Promise<string | undefined>;

/**
 * The names of a hostlist, in its order. A bracket holds numbers, ranges of numbers (as wide as their first number is
 * written) and hostlists, separated by commas; several brackets in a name give every combination, the last one fastest.
 * @throws RelicError RELIC_RANKS for text that is no hostlist
 */
export function expandHostlist(text: string): string[] {
  const names = expandList(text, text);
  if (names.includes('')) throw refused(text, 'an empty name');
  return names;
}

function expandList(list: string, whole: string): string[] {
  const names = splitOutside(list, whole).flatMap((item) => expandItem(item.trim(), whole));
  if (names.length > MOST_HOSTS) throw refused(whole, `more than ${MOST_HOSTS} names`);
  return names;
}

/** At the commas that no bracket encloses. */
function splitOutside(list: string, whole: string): string[] {
  const items = [''];
  let depth = 0;
  for (const char of list) {
    if (char === '[') depth++;
    if (char === ']') depth--;
    if (depth < 0) throw refused(whole, '] without [');
    if (char === ',' && depth === 0) items.push('');
    else items[items.length - 1] += char;
  }
  if (depth > 0) throw refused(whole, '[ without ]');
  return items;
}

function expandItem(item: string, whole: string): string[] {
  const open = item.indexOf('[');
  if (open < 0) return [item];
  let close = open;
  for (let depth = 0; close === open || depth > 0; close++) {
    if (item[close] === '[') depth++;
    if (item[close] === ']') depth--;
  }
  const inside = splitOutside(item.slice(open + 1, close - 1), whole).flatMap((part) => expandPart(part, whole));
  const ends = expandItem(item.slice(close), whole);
  if (inside.length * ends.length > MOST_HOSTS) throw refused(whole, `more than ${MOST_HOSTS} names`);
  return inside.flatMap((middle) => ends.map((end) => item.slice(0, open) + middle + end));
}

/** Of a bracket, between commas. */
function expandPart(part: string, whole: string): string[] {
  if (part.trim() === '') throw refused(whole, 'nothing between brackets or commas');
  const [, first, last] = /^(\d+)-(\d+)$/.exec(part) ?? [];
  if (first === undefined) return expandList(part, whole);
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= MOST_HOSTS)) throw refused(whole, `the range ${part}`);
  return Array.from({ length: count }, (_, i) => String(Number(first) + i).padStart(first.length, '0'));
}

/** The names of a hostlist by Slurm's own reading where there is one, else by ours. */
export async function hostnames(list: string, scontrol: Scontrol = runScontrol): Promise<string[]> {
  const told = (await scontrol('show', 'hostnames', list))?.split('\n').filter((line) => line !== '');
  return told === undefined || told.length === 0 ? expandHostlist(list) : told;
}

/**
 * The host or address at which a node is reached. Its name need not be one that a resolver knows (NodeAddr), so Slurm
 * is asked. Undefined where it does not say.
 */
export async function nodeAddress(node: string, scontrol: Scontrol = runScontrol): Promise<string | undefined> {
  return /\bNodeAddr=(\S+)/.exec((await scontrol('show', 'node', '-o', node)) ?? '')?.[1];
}

/** Waits {@link SCONTROL_MS} at the most. */
function runScontrol(...words: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('scontrol', words, { timeout: SCONTROL_MS, killSignal: 'SIGKILL' }, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });
}

function refused(text: string, received: string): RelicError {
  return new RelicError('RELIC_RANKS', `${shown(text)} is no list of nodes`, {
    expected: 'a hostlist of Slurm, such as n[1-2],gpu[003-005,9]',
    received,
    fix: 'set MASTER_ADDR to the host of rank 0',
  });
}
