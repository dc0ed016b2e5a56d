import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatFasta, parseFasta, readFasta } from '../../src/data/fasta.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('fasta');
const parse = (text: string) => parseFasta(Buffer.from(text), 'p.fasta');

test('joins wrapped lines, splits the header and keeps file order', () => {
  const fasta = parse('>b some protein\nMKV\nLAA\n\n>a\nWW\n');
  assert.equal(fasta.records, [
    { id: 'b', description: 'some protein', sequence: 'MKVLAA' },
    { id: 'a', sequence: 'WW' },
  ]);
  assert.is(fasta.size, 2);
  assert.is(fasta.get('b'), 'MKVLAA');
  assert.is(fasta.get('c'), undefined);
});

test('reads CRLF, a byte order mark, soft-masked residues and a stop at the end, even on a line of its own', () => {
  const fasta = parse('\ufeff>a x\r\nmkV\r\n*\r\n>b\r\nAB*');
  assert.is(fasta.get('a'), 'MKV');
  assert.is(fasta.get('b'), 'AB');
});

test('a UniProt record answers to its id and its accession but is one record', () => {
  const fasta = parse('>sp|P12345|AATM_RABIT Aspartate\nMA\n>tr|Q9-2|X\nMK\n>gi|7|y\nMM\n');
  assert.is(fasta.get('P12345'), 'MA');
  assert.is(fasta.get('sp|P12345|AATM_RABIT'), 'MA');
  assert.is(fasta.get('Q9-2'), 'MK');
  assert.not(fasta.has('7'));
  assert.is(fasta.size, 3);
});

test('takes the 20 letters and B, J, O, U, X, Z', () => {
  assert.is(parse('>a\nACDEFGHIKLMNPQRSTVWYBJOUXZ').get('a')?.length, 26);
});

test('names every fault with its line', () => {
  const error = assertThrowsCode(
    () => parse('>a\nMK-L\n>empty\n>\nMK\n>a\nMM\n>stop\nM*M\n>sp|a|N\nMM\n'),
    'RELIC_FASTA_INVALID',
    /fix: /,
  );
  assert.equal(
    error.problems.map(({ where }) => where),
    ['p.fasta:2', 'p.fasta:3', 'p.fasta:4', 'p.fasta:6', 'p.fasta:8', 'p.fasta:10'],
  );
  const messages = error.problems.map(({ message }) => message);
  assert.match(messages[0], /"-".* is not a residue/);
  assert.match(messages[1], /"empty".* no residues/);
  assert.match(messages[2], /without an id/);
  assert.match(messages[3], /"a".* already used at line 1/);
  assert.match(messages[4], /stop/);
  assert.match(messages[5], /"a".* already used at line 1/);
});

test('lists ten faults at most and counts all', () => {
  const error = assertThrowsCode(
    () => parse(Array.from({ length: 12 }, (_, i) => `>p${i}\n1\n`).join('')),
    'RELIC_FASTA_INVALID',
    /the first 10 of 12 faults/,
  );
  assert.is(error.problems.length, 10);
});

test('refuses text before a header, an empty file and a missing one', () => {
  assertThrowsCode(() => parse('\nMKV\n>a\nM\n'), 'RELIC_FASTA_INVALID', /p\.fasta:2: expected a header/);
  assertThrowsCode(() => parse(' \n'), 'RELIC_FASTA_INVALID', /at least one record/);
  assertThrowsCode(() => readFasta('no/such.fasta'), 'RELIC_FASTA_INVALID', /no\/such\.fasta.*ENOENT/);
});

test('reads what it wrote; the hash is of the bytes', () => {
  const records = [
    { id: 'a', description: 'first one', sequence: 'M'.repeat(125) },
    { id: 'b', sequence: 'K'.repeat(60) },
  ];
  const text = formatFasta(records);
  assert.is(text, `>a first one\n${'M'.repeat(60)}\n${'M'.repeat(60)}\nMMMMM\n>b\n${'K'.repeat(60)}\n`);
  assert.is(formatFasta([{ id: 'c', sequence: 'MKV' }], 2), '>c\nMK\nV\n');
  const directory = mkdtempSync(join(tmpdir(), 'relic-'));
  try {
    const path = join(directory, 'x.fasta');
    writeFileSync(path, text);
    const fasta = readFasta(path);
    assert.equal(fasta.records, records);
    assert.is(fasta.sha256, createHash('sha256').update(text).digest('hex'));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.run();
