/** Finds a binary of the native engine that works here: candidates in order, each probed before it is loaded. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { readEnv } from '../../env.ts';
import type { NativeBinding } from './binding.ts';
import { glibcVersion } from './libc.ts';
import { missingCpuFeatures, probe } from './probe.ts';

export interface Candidate {
  readonly path: string;
  /** Who says so: an environment variable, a build in this folder, or the package. */
  readonly origin: string;
}

export interface LoadedBinary extends Candidate {
  readonly binding: NativeBinding;
  /** Kernel sets this CPU runs in float32, best first. */
  readonly isas: readonly string[];
  /** Likewise with factors rounded to bfloat16. */
  readonly bf16Isas: readonly string[];
}

/** `avx512, avx2, generic kernels (for bf16 amx, avx512)` */
export function kernelsOf({ isas, bf16Isas }: Pick<LoadedBinary, 'isas' | 'bf16Isas'>): string {
  return `${isas.join(', ')} kernels (for bf16 ${bf16Isas.join(', ') || 'none'})`;
}

export interface Search {
  readonly loaded: LoadedBinary | undefined;
  /** Binaries that are there, or were asked for, and cannot be used. */
  readonly failures: readonly (Candidate & { readonly reason: string })[];
  /** Where no binary is. */
  readonly absent: readonly Candidate[];
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const RELIC_NATIVE = 'RELIC_NATIVE';

/** Where a binary may be, in the order in which they are tried. */
export function candidates(): Candidate[] {
  const { nativePath } = readEnv();
  const prebuilt = `prebuilds/${process.platform}-${process.arch}/relic-train${libcTag()}.node`;
  return [
    ...(nativePath === null ? [] : [{ path: nativePath, origin: RELIC_NATIVE }]),
    { path: `${ROOT}build/Release/relic.node`, origin: 'built here' },
    { path: `${ROOT}${prebuilt}`, origin: 'prebuilt' },
  ];
}

/** `.glibc` or `.musl`; nothing where there is one C library. */
function libcTag(): string {
  if (process.platform !== 'linux') return '';
  return glibcVersion() === undefined ? '.musl' : '.glibc';
}

let found: Promise<Search> | undefined;

/** The search of this process, done once. */
export function findBinary(): Promise<Search> {
  found ??= search(candidates());
  return found;
}

/** Tries the candidates in turn until one works. */
export async function search(tried: readonly Candidate[], cpuLacks = missingCpuFeatures()): Promise<Search> {
  const failures: (Candidate & { reason: string })[] = [];
  const absent: Candidate[] = [];
  for (const candidate of tried) {
    if (!existsSync(candidate.path)) {
      if (candidate.origin === RELIC_NATIVE) failures.push({ ...candidate, reason: 'there is no such file' });
      else absent.push(candidate);
      continue;
    }
    try {
      if (cpuLacks !== undefined) throw new Error(cpuLacks);
      const { version } = await probe(candidate.path);
      if (version !== packageVersion()) {
        throw new Error(`it is of version ${version}, this package of ${packageVersion()}`);
      }
      const binding = load(candidate.path);
      return {
        loaded: { ...candidate, binding, isas: binding.isas(), bf16Isas: binding.bf16Isas() },
        failures,
        absent,
      };
    } catch (error) {
      failures.push({ ...candidate, reason: (error as Error).message });
    }
  }
  return { loaded: undefined, failures, absent };
}

const require = createRequire(import.meta.url);

function load(path: string): NativeBinding {
  return require(path);
}

function packageVersion(): string {
  return require(`${ROOT}package.json`).version;
}
