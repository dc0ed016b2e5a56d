/** Whether a binary can be used here, found out in a child process: a broken one may crash instead of throwing. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { NativeCudaDevice } from './binding.ts';

export interface ProbedBinary {
  readonly version: string;
  readonly isas: readonly string[];
  readonly bf16Isas: readonly string[];
}

const LIMIT_MS = 30_000;
const PROGRAM = `const addon = { exports: {} };
process.dlopen(addon, process.argv[1]);
const { version, isas, bf16Isas } = addon.exports;
process.stdout.write(JSON.stringify({ version: version?.(), isas: isas?.(), bf16Isas: bf16Isas?.() ?? [] }));`;

const CUDA_PROGRAM = `const addon = { exports: {} };
process.dlopen(addon, process.argv[1]);
process.stdout.write(JSON.stringify(addon.exports.cudaDevices(process.argv[2])));`;

/** Loads the binary at `path` in a process of its own. @throws Error whose message is one line that says what went wrong */
export async function probe(path: string): Promise<ProbedBinary> {
  const found = answerOf(await run(PROGRAM, path));
  if (found === undefined) throw new Error('it loads, but is no engine of this package');
  return found;
}

/**
 * The GPUs that `library` finds, asked for in a process of its own by way of the binary at `path`: a broken driver may
 * crash as well. @throws Error whose message is one line with the reason when there is none
 */
export async function probeCuda(path: string, library: string): Promise<readonly NativeCudaDevice[]> {
  return JSON.parse(await run(CUDA_PROGRAM, path, library));
}

function run(program: string, ...paths: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, ['-e', program, ...paths], { timeout: LIMIT_MS }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(reasonOf(error, stderr)));
    });
  });
}

function answerOf(stdout: string): ProbedBinary | undefined {
  try {
    const { version, isas, bf16Isas } = JSON.parse(stdout);
    return typeof version === 'string' && Array.isArray(isas) ? { version, isas, bf16Isas } : undefined;
  } catch {
    return undefined;
  }
}

function reasonOf(
  error: { killed?: boolean; signal?: NodeJS.Signals | null; message: string },
  stderr: string,
): string {
  if (error.killed) return `loading it did not end within ${LIMIT_MS / 1000} s`;
  if (typeof error.signal === 'string') return `loading it crashed with ${error.signal}`;
  const line = /^\w*Error: (.*)$/m.exec(stderr)?.[1] ?? error.message.split('\n')[0];
  return line.length > 300 ? `${line.slice(0, 297)}...` : line;
}

/**
 * What this CPU lacks of the baseline every x64 binary is compiled for. Without it a binary does not fail to load: it
 * kills the process. Undefined when nothing is missing, or cannot be known.
 */
export function missingCpuFeatures(
  arch: string = process.arch,
  cpuinfo: () => string = () => readFileSync('/proc/cpuinfo', 'utf8'),
): string | undefined {
  if (arch !== 'x64') return undefined;
  let text: string;
  try {
    text = cpuinfo();
  } catch {
    return undefined;
  }
  const flags = /^flags\s*:(.*)$/m.exec(text)?.[1].trim().split(/\s+/);
  const missing = ['sse4_2', 'popcnt'].filter((flag) => flags !== undefined && !flags.includes(flag));
  return missing.length === 0 ? undefined : `this CPU lacks ${missing.join(' and ')}`;
}
