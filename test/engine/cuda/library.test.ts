import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cublasCandidates, cudaLibraryBeside, ncclCandidates } from '../../../src/engine/cuda/library.ts';
import { readEnv } from '../../../src/env.ts';

const test = suite('engine/cuda/library');
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

test('the library lies beside the binary', () => {
  assert.is(cudaLibraryBeside('/x/Release/relic.node'), '/x/Release/librelic_cuda.so');
});

test('cuBLASLt: the setting first, then the loader, then the packages of the Python environment', () => {
  const folder = join(work, 'lib', 'python3.12', 'site-packages', 'nvidia', 'cu13', 'lib');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'libcublasLt.so.13');
  writeFileSync(file, '');
  const found = cublasCandidates(readEnv({ RELIC_CUBLASLT: '/set/libcublasLt.so', VIRTUAL_ENV: work }));
  assert.equal(found.slice(0, 3), ['/set/libcublasLt.so', 'libcublasLt.so.13', 'libcublasLt.so.12']);
  assert.is(found.at(-1), file);
  assert.equal(cublasCandidates(readEnv({})).slice(0, 2), ['libcublasLt.so.13', 'libcublasLt.so.12']);
  assert.not(cublasCandidates(readEnv({ CONDA_PREFIX: join(work, 'nowhere') })).includes(file));
});

test('NCCL: likewise', () => {
  const folder = join(work, 'lib', 'python3.12', 'site-packages', 'nvidia', 'nccl', 'lib');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'libnccl.so.2');
  writeFileSync(file, '');
  const found = ncclCandidates(readEnv({ RELIC_NCCL: '/set/libnccl.so', VIRTUAL_ENV: work }));
  assert.equal(found, ['/set/libnccl.so', 'libnccl.so.2', file]);
  assert.equal(ncclCandidates(readEnv({})), ['libnccl.so.2']);
});

test.run();
