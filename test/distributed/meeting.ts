/** Runs of test/distributed/meeting-rank.ts, and what their ranks saw. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as assert from 'uvu/assert';
import { type Finished, finished } from '../e2e/project.ts';
import type { CommandLine } from './launchers.ts';

/** Arguments of Node.js; a folder follows them. */
export const MEETING_RANK = [
  '--import',
  import.meta.resolve('tsx'),
  fileURLToPath(new URL('./meeting-rank.ts', import.meta.url)),
];
const LIMIT_MS = 60_000;

/** What a rank leaves behind. */
interface Seen {
  readonly rank: number;
  readonly size: number;
  readonly localRank: number;
  readonly localSize: number;
  readonly source: string;
  readonly runId: string;
  readonly host: string;
  readonly port: number;
  /** What came to rank 0: `1 of RUN_ID`. */
  readonly heard: readonly string[];
}

export function start(line: CommandLine, variables: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const env = { ...process.env, ...line.environment, RELIC_RDZV_TIMEOUT: '30', ...variables };
  return finished(spawn(line.program, line.args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: LIMIT_MS }));
}

/** Runs these commands, each with variables of its own, to their good end. */
export async function met(
  commands: readonly CommandLine[],
  variables: readonly Readonly<Record<string, string>>[] = [{}],
): Promise<Seen[]> {
  const work = mkdtempSync(join(tmpdir(), 'relic-meet-'));
  try {
    const at = (line: CommandLine) => ({ ...line, args: [...line.args, work] });
    const ends = commands.map((line, i) => start(at(line), { TMPDIR: work, ...variables[i] }));
    for (const { status, stdout, stderr } of await Promise.all(ends)) assert.is(status, 0, stdout + stderr);
    const left = readdirSync(work, { recursive: true }).map(String);
    assert.equal(
      left.filter((name) => name.includes('rdzv.')),
      [],
      'what announced rank 0 is gone',
    );
    const names = left.filter((name) => name.endsWith('.json')).sort();
    return names.map((name) => JSON.parse(readFileSync(join(work, name), 'utf8')));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
