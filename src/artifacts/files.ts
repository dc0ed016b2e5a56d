/**
 * Writing files so that a reader sees the old content or the new, never a part: temp beside the target, fsync, rename.
 * Failures of the file system become errors that name the path and the way out.
 */
import * as nodeFs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type ErrorCode, RelicError } from '../errors.ts';

/** The calls used to write; tests pass one that fails as a full disk does. */
export type FileSystem = Pick<
  typeof nodeFs,
  'openSync' | 'writeSync' | 'fsyncSync' | 'closeSync' | 'renameSync' | 'rmSync' | 'mkdirSync'
>;

const CAUSES: Record<string, { code: ErrorCode; subject: string; fix: string }> = {
  ENOSPC: { code: 'RELIC_NO_SPACE', subject: 'no space left on the disk', fix: 'free space, or choose another disk' },
  EFBIG: {
    code: 'RELIC_NO_SPACE',
    subject: 'file size limit reached',
    fix: 'raise the limit (ulimit -f), or choose another disk',
  },
  EDQUOT: { code: 'RELIC_NO_SPACE', subject: 'disk quota used up', fix: 'delete files, or choose another disk' },
  EACCES: {
    code: 'RELIC_NOT_WRITABLE',
    subject: 'permission denied',
    fix: 'make the path writable, or choose another',
  },
  EPERM: { code: 'RELIC_NOT_WRITABLE', subject: 'not permitted', fix: 'make the path writable, or choose another' },
  EROFS: { code: 'RELIC_NOT_WRITABLE', subject: 'read-only file system', fix: 'choose a path on a writable disk' },
};

/**
 * The error a failed file system call becomes: ENOSPC and EDQUOT are RELIC_NO_SPACE; EACCES, EPERM and EROFS are
 * RELIC_NOT_WRITABLE; any other is RELIC_IO. A RelicError passes through.
 * @param action what was tried, as in `write` or `create directory`.
 */
export function ioError(error: unknown, path: string, action: string): RelicError {
  if (error instanceof RelicError) return error;
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const cause = CAUSES[code] ?? { code: 'RELIC_IO' as const, subject: message, fix: 'check that the path is right' };
  return new RelicError(cause.code, `cannot ${action}: ${cause.subject}`, {
    where: path,
    fix: cause.fix,
    cause: error,
  });
}

/** Writes all of `data`; the system may take only a part of it at each call. */
export function writeFully(fd: number, data: Uint8Array, fs: Pick<FileSystem, 'writeSync'> = nodeFs): void {
  for (let done = 0; done < data.byteLength; ) done += fs.writeSync(fd, data, done, data.byteLength - done);
}

/** The temporary name `writeFileAtomic` uses for `path` in this process. */
export function temporaryPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
}

/**
 * Writes a whole file or nothing: on any failure the temporary file is removed and `path` is as it was.
 * An iterable is written chunk by chunk, so a file may be larger than memory.
 * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO; whatever the iterable throws passes through.
 */
export function writeFileAtomic(
  path: string,
  data: string | Uint8Array | Iterable<Uint8Array>,
  fs: FileSystem = nodeFs,
): void {
  const temporary = temporaryPath(path);
  const chunks = typeof data === 'string' ? [Buffer.from(data)] : data instanceof Uint8Array ? [data] : data;
  try {
    const fd = fs.openSync(temporary, 'w');
    try {
      for (const chunk of chunks) writeFully(fd, chunk, fs);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary, fs);
    throw isSystemError(error) ? ioError(error, path, 'write file') : error;
  }
  syncDirectory(dirname(path), fs);
}

/** Makes a directory and its parents; nothing happens if it exists. Throws as {@link ioError} says. */
export function ensureDirectory(path: string, fs: FileSystem = nodeFs): void {
  try {
    fs.mkdirSync(path, { recursive: true });
  } catch (error) {
    throw ioError(error, path, 'create directory');
  }
}

/** Proves by writing a byte that files can be made in `directory`, before hours of work depend on it. */
export function assertWritable(directory: string, fs: FileSystem = nodeFs): void {
  const probe = temporaryPath(join(directory, 'write-test'));
  try {
    const fd = fs.openSync(probe, 'w');
    try {
      writeFully(fd, Buffer.from('\n'), fs);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw ioError(error, directory, 'write in directory');
  } finally {
    removeQuietly(probe, fs);
  }
}

/**
 * That `path` could be written or made a directory, told by the nearest part of it that exists; nothing is written.
 * @throws RelicError RELIC_NOT_WRITABLE, RELIC_IO.
 */
export function assertCreatable(path: string): void {
  for (let nearest = resolve(path); ; nearest = dirname(nearest)) {
    try {
      nodeFs.accessSync(nearest, nodeFs.constants.W_OK);
      return;
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!missing || dirname(nearest) === nearest) throw ioError(error, path, 'write');
    }
  }
}

/** Whether this is the failure of a file system call. */
export function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

/** Removes a file that nobody misses; where that fails it stays, since whatever led here is the thing to report. */
export function removeQuietly(path: string, fs: FileSystem = nodeFs): void {
  try {
    fs.rmSync(path, { force: true });
  } catch {
    // It stays.
  }
}

/** Makes a rename survive a power cut; best effort, since some file systems cannot fsync a directory. */
export function syncDirectory(path: string, fs: FileSystem = nodeFs): void {
  try {
    const fd = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // The file itself is complete and in place.
  }
}
