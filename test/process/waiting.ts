/** Waiting for processes with a deadline, and looking for programs and ports. */
import { accessSync, constants } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';

const INTERVAL_MS = 100;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again and again until it is so. @throws Error that says what was not so at the deadline */
export async function until(
  what: string | (() => string),
  deadlineMs: number,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not so after ${deadlineMs} ms: ${typeof what === 'string' ? what : what()}`);
    await pause(INTERVAL_MS);
  }
}

/** Whether the shell would find this program. */
export function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Ports that nobody uses now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  try {
    await Promise.all(servers.map((each) => new Promise((resolve) => each.once('listening', resolve))));
    return servers.map((each) => (each.address() as { port: number }).port);
  } finally {
    await Promise.all(servers.map((each) => new Promise((resolve) => each.close(resolve))));
  }
}
