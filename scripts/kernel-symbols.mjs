// What the object files of the instruction sets define for others. An inline function that is compiled with the flags of
// AVX-512 is a weak symbol, and the linker may take it for the baseline code as well, which then ends on older machines
// with an illegal instruction. So each of these objects may define its table's getter and nothing else.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Looks at each object of a build folder of CMake that sources.json lists under `isa`.
 * @returns {{ name: string, defined: string[], good: boolean }[]} one an object
 */
export function kernelSymbols(root, build) {
  const { isa } = JSON.parse(readFileSync(join(root, 'native', 'sources.json'), 'utf8'));
  const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'));
  const nm = /^CMAKE_NM:FILEPATH=(.*)$/m.exec(readFileSync(join(build, 'CMakeCache.txt'), 'utf8'))?.[1] ?? 'nm';
  return Object.entries(isa).flatMap(([name, { source }]) => {
    const compiled = commands.find(({ file }) => file === join(root, source));
    if (compiled === undefined) return [];
    const object = join(compiled.directory, / -o (\S+)/.exec(compiled.command)[1]);
    const { status, stdout, stderr, error } = spawnSync(nm, ['-C', '-g', '--defined-only', object], {
      encoding: 'utf8',
    });
    const lines = status === 0 ? stdout.trim().split('\n') : [`${nm} failed: ${stderr ?? ''}${error ?? ''}`.trim()];
    const defined = lines.map((line) => line.replace(/^[0-9a-f]+ /, ''));
    return [{ name, defined, good: defined.length === 1 && /^T relic::\w+(Kernels|Product)\(\)$/.test(defined[0]) }];
  });
}
