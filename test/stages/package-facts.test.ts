import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packageFacts } from '../../src/stages/package-facts.ts';

const test = suite('package facts');

test('name and version are those of package.json', () => {
  const { name, version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(packageFacts(), { name, version });
});

test.run();
