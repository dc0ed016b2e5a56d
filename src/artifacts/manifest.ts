/** `run.json`: what is needed to say later how a stage's files came about, and whether they are still the same. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { ioError, writeFileAtomic } from './files.ts';

export const MANIFEST_FILE = 'run.json';

export interface RunFacts {
  /** How the stage ended. */
  readonly status: 'complete' | 'failed' | 'interrupted';
  readonly package: { readonly name: string; readonly version: string };
  readonly engine: {
    readonly name: string;
    /** Why this engine was chosen. */
    readonly reason: string;
    readonly device: string;
  };
  readonly seed: number;
  readonly configHash: string;
  /** The resolved config, as plain data. */
  readonly config: unknown;
  readonly startedAt: Date;
  readonly endedAt: Date;
  /** Paths of the files the stage wrote; they are read here for their size and SHA-256. */
  readonly files: readonly string[];
  /** Whatever else explains the numbers: instruction set, BLAS, threads. */
  readonly environment?: Readonly<Record<string, string | number | boolean>>;
}

/** Writes `run.json` into `logDir`, whole or not at all, and returns its path. Throws as writeFileAtomic does. */
export function writeManifest(logDir: string, facts: RunFacts): string {
  const path = join(logDir, MANIFEST_FILE);
  const manifest = {
    schema_version: 1,
    status: facts.status,
    package: facts.package,
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    engine: facts.engine,
    environment: facts.environment ?? {},
    seed: facts.seed,
    started_at: facts.startedAt.toISOString(),
    ended_at: facts.endedAt.toISOString(),
    config_hash: facts.configHash,
    config: facts.config,
    files: facts.files.map(describeFile),
  };
  writeFileAtomic(path, `${JSON.stringify(manifest, null, 2)}\n`);
  return path;
}

function describeFile(path: string): { path: string; bytes: number; sha256: string } {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(2 ** 20);
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
