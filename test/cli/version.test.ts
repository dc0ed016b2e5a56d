import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { packageVersion } from '../../src/cli/version.ts';

const test = suite('cli/version');

test('is that of package.json', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.is(packageVersion(), version);
});

test.run();
