/** Bytes that can be read by range, from a file or from memory, so that large checkpoints are not read whole. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { RelicError } from '../../errors.ts';

export interface ByteSource {
  /** What errors call it: the path. */
  readonly label: string;
  /** Bytes. */
  readonly size: number;
  /** `length` bytes from `start`, at offset 0 of a new buffer where they come from a file. RELIC_CHECKPOINT_INVALID past the end. */
  read(start: number, length: number): Uint8Array;
  close(): void;
}

/** Node reads at most 2 GiB a call. */
const LARGEST_READ = 2 ** 30;

/** Opens a file for ranged reads. Throws RELIC_CHECKPOINT_NOT_FOUND or RELIC_IO. */
export function fileSource(path: string): ByteSource & { readonly fd: number } {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error('not a regular file');
    return openedSource(path, fd, stat.size);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new RelicError(missing ? 'RELIC_CHECKPOINT_NOT_FOUND' : 'RELIC_IO', 'cannot open the file', {
      where: path,
      received: (error as Error).message,
      fix: 'check the path and its permissions',
      cause: error,
    });
  }
}

function openedSource(label: string, fd: number, size: number): ByteSource & { readonly fd: number } {
  return {
    label,
    size,
    fd,
    read(start, length) {
      checkRange(label, size, start, length);
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const count = readSync(fd, bytes, done, Math.min(LARGEST_READ, length - done), start + done);
        if (count === 0) throw damaged(label, `the file became shorter while it was read (byte ${start + done})`);
        done += count;
      }
      return bytes;
    },
    close: () => closeSync(fd),
  };
}

/** A source over bytes in memory; reads are views, not copies. */
export function bytesSource(bytes: Uint8Array, label: string): ByteSource {
  return {
    label,
    size: bytes.byteLength,
    read(start, length) {
      checkRange(label, bytes.byteLength, start, length);
      return bytes.subarray(start, start + length);
    },
    close: () => {},
  };
}

function checkRange(label: string, size: number, start: number, length: number): void {
  const inside = Number.isSafeInteger(start) && Number.isSafeInteger(length) && start >= 0 && length >= 0;
  if (!inside || start + length > size)
    throw damaged(label, `bytes ${start} to ${start + length} are outside the file of ${size} bytes`);
}

/** The error for a file whose content cannot be what a writer wrote. */
export function damaged(label: string, subject: string, cause?: unknown): RelicError {
  return new RelicError('RELIC_CHECKPOINT_INVALID', subject, {
    where: label,
    fix: 'the file is damaged or incomplete: copy, download or save it again',
    ...(cause === undefined ? {} : { cause }),
  });
}
