/** File systems that fail as full and read-only disks do, without a full disk. */
import * as fs from 'node:fs';

/** node:fs with one call replaced by a failure; `after` calls succeed first. */
export function failing(
  call: 'openSync' | 'writeSync' | 'fsyncSync' | 'renameSync' | 'mkdirSync',
  code: string,
  after = 0,
) {
  let left = after;
  const { [call]: succeed } = fs;
  const real = succeed as (...args: unknown[]) => unknown;
  return {
    ...fs,
    [call]: (...args: unknown[]) => {
      if (left-- > 0) return real(...args);
      throw Object.assign(new Error(`${code}: ${call}`), { code, syscall: call });
    },
  } as typeof fs;
}

/** node:fs whose writes take at most `most` bytes, as the system may. */
export function shortWrites(most: number): typeof fs {
  const writeSync = (fd: number, data: Uint8Array, offset: number, length: number) =>
    fs.writeSync(fd, data, offset, Math.min(most, length));
  return { ...fs, writeSync } as unknown as typeof fs;
}
