/** Opens the native collectives of this process: over MPI, or over Gloo for ranks that no MPI started. */
import { dirname, join } from 'node:path';
import { setMpiDefaults } from '../../env.ts';
import type { NativeComm, NativeCommOptions, NativeCommStore } from './binding.ts';
import type { LoadedBinary } from './loader.ts';
import { settled } from './translated.ts';

const GLOO_LIBRARY = 'librelic_gloo.so';

export interface CommOptions {
  /** `auto`: MPI where its launcher started the ranks, else Gloo. */
  readonly backend: 'auto' | 'mpi' | 'gloo';
  readonly rank: number;
  readonly size: number;
  /** Whose launcher started the ranks; `other` for torchrun, srun without an MPI plugin, or by hand. */
  readonly launcher: 'openmpi' | 'mpich' | 'other';
  /** A library of MPI to open instead of what the system's loader finds. */
  readonly mpiLibrary?: string;
  /** For Gloo: where ranks leave their addresses. */
  readonly store?: NativeCommStore;
  /** For Gloo: the address at which the other ranks reach this one. */
  readonly address?: string;
  /** For Gloo: seconds after which a call fails. */
  readonly timeoutSeconds?: number;
}

/** Ten minutes, as in PyTorch: long before, a watchdog knows who is missing. */
const TIMEOUT_SECONDS = 600;

/**
 * All ranks call it together.
 *
 * @throws RelicError RELIC_RANKS when the library is not there, or says another rank or size than the launcher, which is what a
 *   library of another MPI than the launcher's does
 */
export function openComm(binary: LoadedBinary, options: CommOptions): Promise<NativeComm> {
  const { rank, size, launcher, store } = options;
  const native: NativeCommOptions = {
    backend: backendOf(options),
    rank,
    size,
    launcher: launcher === 'other' ? 'unknown' : launcher,
    mpiLibrary: options.mpiLibrary ?? '',
    glooLibrary: join(dirname(binary.path), GLOO_LIBRARY),
    address: options.address ?? '127.0.0.1',
    timeoutMs: 1000 * (options.timeoutSeconds ?? TIMEOUT_SECONDS),
    ...(store === undefined ? {} : { store }),
  };
  if (native.backend === 'mpi') setMpiDefaults();
  return settled(binary.binding.openComm(native));
}

/** What `auto` comes to. */
export function backendOf({ backend, launcher }: Pick<CommOptions, 'backend' | 'launcher'>): 'mpi' | 'gloo' {
  if (backend !== 'auto') return backend;
  return launcher === 'other' ? 'gloo' : 'mpi';
}
