/** Runs the command line in this process and keeps what it wrote. */
import { main } from '../../src/cli/main.ts';

export interface Captured {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCli(...args: string[]): Promise<Captured> {
  let [stdout, stderr] = ['', ''];
  const status = await main(args, { stdout: (text) => (stdout += text), stderr: (text) => (stderr += text) });
  return { status, stdout, stderr };
}
