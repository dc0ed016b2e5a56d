// Compiles the native engine to build/Release/relic.node and beside it, where nvcc is found, the GPU engine to
// librelic_cuda.so, and where libgloo-dev is installed, ranks over Gloo to librelic_gloo.so; for scripts/build.mjs and by hand. It never fails an install: without cmake or a C++ compiler, or when
// compiling fails, the TypeScript engine runs instead and one line says so; likewise without the others.
// RELIC_CUDA_ARCHS (such as 90a, or 80,89,90a) are the GPUs that it is compiled for; RELIC_NO_CUDA leaves it out.
// Nothing is done when RELIC_NO_NATIVE is set, or when the sources are those of the binary that is there.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const BUILD = join(ROOT, 'build');
const BINARY = join(BUILD, 'Release', 'relic.node');
const STAMP = join(BUILD, 'native-build.stamp');
const LOG = join(BUILD, 'native-build.log');

/** True when the binary is up to date afterwards. */
export function buildNative() {
  if (process.env.RELIC_NO_NATIVE) return false;
  const cmakeJs = cmakeJsPath();
  const missing = [
    ...(cmakeJs === undefined ? ['cmake-js'] : []),
    ...(onPath('cmake') ? [] : ['cmake']),
    ...(compilers().some(onPath) ? [] : ['a C++ compiler']),
    ...(onPath('make') || onPath('ninja') || process.platform === 'win32' ? [] : ['make']),
  ];
  if (missing.length > 0) {
    return told(
      `${missing.join(' and ')} not found: the native engine was not built, the TypeScript engine will be used`,
    );
  }
  const hash = sourceHash();
  if (existsSync(BINARY) && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === hash) return true;

  forgetMovedBuild();
  mkdirSync(BUILD, { recursive: true });
  const jobs = String(Math.max(2, availableParallelism()));
  const cuda = [`--CDRELIC_CUDA=${process.env.RELIC_NO_CUDA ? 'OFF' : 'ON'}`];
  if (process.env.RELIC_CUDA_ARCHS)
    cuda.push(`--CDRELIC_CUDA_ARCHS=${process.env.RELIC_CUDA_ARCHS.replaceAll(',', ';')}`);
  const options = ['compile', '-d', ROOT, '-O', BUILD, '-l', 'warn', '-p', jobs, ...cuda];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [cmakeJs, ...options], { encoding: 'utf8' });
  writeFileSync(LOG, `${stdout ?? ''}${stderr ?? ''}${error ?? ''}`);
  if (status !== 0 || !existsSync(BINARY)) {
    // One of older sources would not understand the programs it is given.
    rmSync(BINARY, { force: true });
    return told(`compiling the native engine failed (see ${LOG}): the TypeScript engine will be used`);
  }
  buildBeside('cuda', jobs, 'the GPU engine', 'runs on a GPU are not possible');
  buildBeside('gloo', jobs, 'ranks over Gloo', 'ranks need an MPI');
  writeFileSync(STAMP, hash);
  return true;
}

/** Makes one of the libraries that the addon opens on demand, where CMake found what it needs. */
function buildBeside(name, jobs, what, consequence) {
  const variable = `RELIC_${name.toUpperCase()}_CONFIGURED`;
  const cache = readFileSync(join(BUILD, 'CMakeCache.txt'), 'utf8');
  rmSync(join(BUILD, 'Release', `librelic_${name}.so`), { force: true });
  if (!new RegExp(`^${variable}:INTERNAL=ON$`, 'm').test(cache)) return;
  const log = join(BUILD, `${name}-build.log`);
  const options = ['--build', BUILD, '--target', `relic_${name}`, '--parallel', jobs];
  const { status, stdout, stderr, error } = spawnSync('cmake', options, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  writeFileSync(log, `${stdout ?? ''}${stderr ?? ''}${error ?? ''}`);
  if (status !== 0) told(`compiling ${what} failed (see ${log}): ${consequence}`);
}

function told(line) {
  console.error(`relic-train: ${line}`);
  return false;
}

function cmakeJsPath() {
  try {
    return join(dirname(createRequire(join(ROOT, 'package.json')).resolve('cmake-js/package.json')), 'bin', 'cmake-js');
  } catch {
    return undefined;
  }
}

function compilers() {
  return [...(process.env.CXX ? [process.env.CXX] : []), 'g++', 'clang++', 'c++', 'cl'];
}

function onPath(program) {
  const names = process.platform === 'win32' ? [`${program}.exe`, `${program}.cmd`] : [program];
  const folders = (process.env.PATH ?? '').split(delimiter);
  return names.some((name) => existsSync(name) || folders.some((folder) => existsSync(join(folder, name))));
}

/** Everything the binary is made of: sources, build files, versions of the package and of the headers. */
function sourceHash() {
  const hash = createHash('sha256');
  const sources = readdirSync(join(ROOT, 'native'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.startsWith(join(ROOT, 'native', 'test')));
  for (const path of [...sources, join(ROOT, 'CMakeLists.txt'), join(ROOT, 'package.json')].sort()) {
    hash.update(`${path.slice(ROOT.length)}\n`).update(readFileSync(path));
  }
  const { CXX, RELIC_CUDA_ARCHS, RELIC_NO_CUDA } = process.env;
  hash.update([process.arch, CXX, RELIC_CUDA_ARCHS, RELIC_NO_CUDA].join('\n'));
  return hash.digest('hex');
}

/** CMake refuses a build folder that was moved or copied from elsewhere. */
function forgetMovedBuild() {
  const cache = join(BUILD, 'CMakeCache.txt');
  if (!existsSync(cache)) return;
  const home = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(readFileSync(cache, 'utf8'))?.[1];
  if (home !== ROOT) rmSync(BUILD, { recursive: true, force: true });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = buildNative() ? 0 : 1;
