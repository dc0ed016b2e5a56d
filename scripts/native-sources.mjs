// Prints lists of native/sources.json for binding.gyp, one item a line: `native-sources.mjs cpu addon` the files of both,
// `native-sources.mjs isa.avx2.source`, `native-sources.mjs isa.avx2.x64` (nothing when there is no such list).
import { readFileSync } from 'node:fs';

const sources = JSON.parse(readFileSync(new URL('../native/sources.json', import.meta.url), 'utf8'));
const items = process.argv.slice(2).flatMap((path) => path.split('.').reduce((at, key) => at?.[key], sources) ?? []);
process.stdout.write(items.map((item) => `${item}\n`).join(''));
