import { existsSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../src/cli/commands/registry.ts';
import { withGeneratedTables } from './readme-tables.ts';

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const readme = readFileSync(at('README.md'), 'utf8');
const test = suite('readme');

test('the generated tables are fresh', () => {
  assert.ok(withGeneratedTables(readme) === readme, 'README.md is stale: run node scripts/readme.mjs');
});

test('a missing marker is told', () => {
  assert.throws(() => withGeneratedTables(readme.replace('<!-- compat table: end -->', '')), /compat table: end/);
});

test('every command is described', () => {
  for (const name of Object.keys(COMMANDS))
    assert.ok(readme.includes(`\`relic-train ${name}`) || name === 'train', name);
});

test('the files it names exist', () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path);
  const paths = [...readme.matchAll(/\b((?:configs|scripts|docs)\/[\w.-]+\.\w+)/g)].map(([, path]) => path);
  assert.ok(links.length > 2 && paths.length > 2);
  for (const path of [...links, ...paths]) assert.ok(existsSync(at(path)), path);
});

test('.ci/run runs its two command lines', () => {
  const ci = readFileSync(at('.ci/run'), 'utf8');
  const lines = [...readme.matchAll(/^ {4}npm ci && (.+)$/gm)].map(([, command]) => command);
  assert.equal(lines, ['npx relic-train --config configs/demo.yaml', 'npm test']);
  for (const line of ['npm ci', ...lines]) assert.ok(ci.includes(line), line);
});

test.run();
