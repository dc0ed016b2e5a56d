// Compiles src/ to dist/, and the native engine where that can be done. Run by `npm ci` in a clone (the `prepare` script)
// and by `npm pack`.
// `npm ci --omit=dev` has no compiler: the build is then left out rather than failing the install.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from './build-native.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
let tsc;
try {
  tsc = join(dirname(createRequire(join(root, 'package.json')).resolve('typescript/package.json')), 'bin', 'tsc');
} catch {
  const built = existsSync(join(root, 'dist', 'cli.js'));
  console.error(
    `relic-train: TypeScript is not installed, ${built ? 'keeping the dist/ that is here' : 'nothing was built'}`,
  );
  process.exit(0);
}
rmSync(join(root, 'dist'), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
if (status === 0 && existsSync(join(root, 'dist', 'cli.js'))) chmodSync(join(root, 'dist', 'cli.js'), 0o755);
if (status === 0) buildNative();
process.exit(status ?? 1);
