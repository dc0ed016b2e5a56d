/** Builds checkpoint files by hand, valid or not, for tests. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipChunks } from '../../../src/artifacts/checkpoint/zip-writer.ts';

/** The folder of files that PyTorch 2.13 wrote for these tests. */
export const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'fixtures', 'checkpoint');

/** A pickle from opcodes in latin1 text. */
export function pickle(...parts: (string | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
}

/** BINUNICODE of a text. */
export function unicode(text: string): Buffer {
  const bytes = Buffer.from(text);
  return pickle('X', u32(bytes.length), bytes);
}

/** LONG1 of an integer in eight bytes. */
export function long(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return pickle('\x8a\x08', bytes);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Opcodes that put a tensor on the stack: storage '0' with `length` floats. */
export function tensor(
  length: number,
  offset: number,
  shape: readonly (number | bigint)[],
  strides: readonly (number | bigint)[],
): Buffer {
  return pickle(
    'ctorch._utils\n_rebuild_tensor_v2\n((',
    ...[unicode('storage'), 'ctorch\nFloatStorage\n', unicode('0'), unicode('cpu'), long(length), 'tQ'],
    ...[long(offset), '(', ...shape.map(long), 't(', ...strides.map(long), 't'],
    '\x89ccollections\nOrderedDict\n)RtR',
  );
}

/** A PyTorch zip file with this `data.pkl` and these records beside it. */
export function archive(dataPkl: Buffer, records: Record<string, Uint8Array> = {}): Buffer {
  const entries = Object.entries(records).map(([name, data]) => ({ name: `a/${name}`, data }));
  return Buffer.concat([...zipChunks([{ name: 'a/data.pkl', data: dataPkl }, ...entries])]);
}
