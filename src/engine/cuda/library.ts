/** Where the GPU engine's library, cuBLASLt and NCCL are looked for. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Env } from '../../env.ts';

const LIBRARY = 'librelic_cuda.so';
/** Sonames, newest first: the system's loader knows where an installed toolkit is. */
const CUBLAS_NAMES = ['libcublasLt.so.13', 'libcublasLt.so.12'];
const TOOLKIT_FOLDERS = ['/usr/local/cuda/lib64', '/usr/local/cuda/lib'];
/** Of NVIDIA's Python packages, below site-packages. */
const WHEEL_FOLDERS = ['nvidia/cu13/lib', 'nvidia/cublas/lib'];
const NCCL_NAME = 'libnccl.so.2';
const NCCL_WHEEL_FOLDERS = ['nvidia/nccl/lib'];

/** The library that belongs to a binary of the native engine: they are built and shipped side by side. */
export function cudaLibraryBeside(binaryPath: string): string {
  return join(dirname(binaryPath), LIBRARY);
}

/**
 * Files and names of cuBLASLt, in the order in which they are tried: `RELIC_CUBLASLT`, what the loader finds, the
 * toolkit's folders, then the packages of the active Python environment.
 */
export function cublasCandidates({ cublasLtPath, pythonEnvironments }: Env): string[] {
  const folders = [...TOOLKIT_FOLDERS, ...inWheels(pythonEnvironments, WHEEL_FOLDERS)];
  const files = folders.flatMap((folder) => CUBLAS_NAMES.map((name) => join(folder, name))).filter(existsSync);
  return [...(cublasLtPath === null ? [] : [cublasLtPath]), ...CUBLAS_NAMES, ...files];
}

/** Likewise of NCCL: `RELIC_NCCL`, what the loader finds, then the packages of the active Python environment. */
export function ncclCandidates({ ncclPath, pythonEnvironments }: Env): string[] {
  const files = inWheels(pythonEnvironments, NCCL_WHEEL_FOLDERS).map((folder) => join(folder, NCCL_NAME));
  return [...(ncclPath === null ? [] : [ncclPath]), NCCL_NAME, ...files.filter(existsSync)];
}

function inWheels(environments: readonly string[], folders: readonly string[]): string[] {
  return environments.flatMap((environment) => {
    const lib = join(environment, 'lib');
    const pythons = existsSync(lib) ? readdirSync(lib).filter((name) => name.startsWith('python')) : [];
    return pythons.sort().flatMap((python) => folders.map((folder) => join(lib, python, 'site-packages', folder)));
  });
}
