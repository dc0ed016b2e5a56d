import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadWithWarnings } from '../../src/cli/config.ts';
import { Project } from '../e2e/project.ts';

const test = suite('cli/config');

test('loads, overrides, and tells each warning on a line of its own', () => {
  const here = new Project();
  try {
    const written: string[] = [];
    const output = { stdout: () => {}, stderr: (text: string) => written.push(text) };
    const { config } = loadWithWarnings(here.path('config.yaml'), ['run_config.seed=9'], output);
    assert.is(config.run_config.seed, 9);
    assert.equal(written, []);
    loadWithWarnings(here.path('config.yaml'), ['training_config.scheduler.max_lr=0.5'], output);
    assert.is(written.length, 1);
    assert.match(written[0], /^relic-train: warning: .*max_lr.*\n$/);
  } finally {
    here.remove();
  }
});

test.run();
