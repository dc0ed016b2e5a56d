/** Where the GPU engine's library and cuBLASLt are looked for. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Env } from '../../env.ts';

const LIBRARY = 'librelic_cuda.so';
/** Sonames, newest first: the system's loader knows where an installed toolkit is. */
const CUBLAS_NAMES = ['libcublasLt.so.13', 'libcublasLt.so.12'];
const TOOLKIT_FOLDERS = ['/usr/local/cuda/lib64', '/usr/local/cuda/lib'];
/** Of NVIDIA's Python packages, below site-packages. */
const WHEEL_FOLDERS = ['nvidia/cu13/lib', 'nvidia/cublas/lib'];

/** The library that belongs to a binary of the native engine: they are built and shipped side by side. */
export function cudaLibraryBeside(binaryPath: string): string {
  return join(dirname(binaryPath), LIBRARY);
}

/**
 * Files and names of cuBLASLt, in the order in which they are tried: `RELIC_CUBLASLT`, what the loader finds, the
 * toolkit's folders, then the packages of the active Python environment.
 */
export function cublasCandidates({ cublasLtPath, pythonEnvironments }: Env): string[] {
  const folders = [...TOOLKIT_FOLDERS, ...pythonEnvironments.flatMap(wheelFolders)];
  const files = folders.flatMap((folder) => CUBLAS_NAMES.map((name) => join(folder, name))).filter(existsSync);
  return [...(cublasLtPath === null ? [] : [cublasLtPath]), ...CUBLAS_NAMES, ...files];
}

function wheelFolders(environment: string): string[] {
  const lib = join(environment, 'lib');
  const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => name.startsWith('python')) : [];
  return pythons.sort().flatMap((python) => WHEEL_FOLDERS.map((folder) => join(lib, python, 'site-packages', folder)));
}
