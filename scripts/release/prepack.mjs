// prepack.mjs [--undo]: run by `npm pack` in a clone, before and after. The package has the binaries of prebuild.sh; where
// there is none for this machine, the one that is built here goes along, for machines whose C library is at least as new.
// It is taken away afterwards: `npm publish` ships what prebuild.sh made and check-binary.mjs found good.
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildNative } from '../build-native.mjs';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const MARK = join(ROOT, 'build', 'prepack.stamp');
const musl = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined;
const libc = process.platform === 'linux' ? (musl ? '.musl' : '.glibc') : '';
const binary = join(ROOT, 'prebuilds', `${process.platform}-${process.arch}`, `relic-train${libc}.node`);
const told = (line) => console.error(`relic-train: ${line}`);

if (existsSync(MARK)) for (const path of [binary, MARK]) rmSync(path, { force: true });
if (!process.argv.includes('--undo')) {
  if (existsSync(binary)) {
    told(`packing ${binary}`);
  } else if (buildNative()) {
    mkdirSync(dirname(binary), { recursive: true });
    writeFileSync(MARK, binary);
    copyFileSync(join(ROOT, 'build', 'Release', 'relic.node'), binary);
    told('packing the binary built here; scripts/release/prebuild.sh makes one that runs on older machines too');
  } else {
    told('packing no binary of the native engine');
  }
}
