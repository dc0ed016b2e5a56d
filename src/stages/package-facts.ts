/** Name and version of this package, for the manifest; package.json is two directories up in src/ and in dist/. */
import { readFileSync } from 'node:fs';

export function packageFacts(): { readonly name: string; readonly version: string } {
  const { name, version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return { name, version };
}
