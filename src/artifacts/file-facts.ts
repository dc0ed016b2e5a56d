/** What identifies a file's content. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { ioError } from './files.ts';

export interface FileFacts {
  readonly path: string;
  readonly bytes: number;
  /** In hex. */
  readonly sha256: string;
}

const CHUNK = 2 ** 20;

/** Reads the file for its size and SHA-256. Throws as ioError. */
export function describeFile(path: string): FileFacts {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(CHUNK);
  let bytes = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      for (let count = 0; (count = readSync(fd, chunk, 0, chunk.length, null)) > 0; bytes += count)
        hash.update(chunk.subarray(0, count));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw ioError(error, path, 'read file');
  }
  return { path, bytes, sha256: hash.digest('hex') };
}
