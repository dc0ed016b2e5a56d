import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../../src/cli/commands/registry.ts';
import { EXIT } from '../../src/errors.ts';
import { runCli } from './capture.ts';

const test = suite('cli/help');

test('the program lists its commands and its exit statuses', async () => {
  const { status, stdout } = await runCli('--help');
  assert.is(status, 0);
  for (const name of Object.keys(COMMANDS)) assert.match(stdout, new RegExp(`^  ${name} +\\w`, 'm'));
  for (const value of Object.values(EXIT)) assert.match(stdout, new RegExp(`^  ${value} +\\w`, 'm'));
  assert.is((await runCli('-h')).stdout, stdout);
});

test('every command explains its options and gives examples that its options allow', async () => {
  for (const [name, entry] of Object.entries(COMMANDS)) {
    const { status, stdout } = await runCli(name, '--help');
    assert.is(status, 0);
    const { options, examples } = await entry.load();
    for (const option of Object.keys(options)) assert.match(stdout, new RegExp(`^  --${option}\\b.*  \\w`, 'm'));
    assert.ok(examples.length > 0);
    for (const example of examples) {
      assert.ok(stdout.includes(`\n  ${example}\n`));
      for (const [, used] of example.matchAll(/--([\w-]+)/g)) assert.ok(used in options, `${example}: ${used}`);
    }
  }
});

test('no line is wider than 120 columns', async () => {
  for (const args of [[], ...Object.keys(COMMANDS).map((name) => [name])]) {
    const { stdout } = await runCli(...args, '--help');
    assert.equal(
      stdout.split('\n').filter((line) => line.length > 120),
      [],
    );
  }
});

test.run();
