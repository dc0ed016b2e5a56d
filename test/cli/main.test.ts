import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { main } from '../../src/cli/main.ts';
import { runCli } from './capture.ts';

const test = suite('cli/main');

test('--version prints the version alone', async () => {
  const { status, stdout, stderr } = await runCli('--version');
  assert.is(status, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  assert.is(stderr, '');
});

test('no argument at all says what is missing', async () => {
  const { status, stderr } = await runCli();
  assert.is(status, 2);
  assert.is(stderr, 'relic-train: error [RELIC_USAGE] --config is required\n  fix: see relic-train --help\n');
});

test('an unknown command is refused with the nearest name', async () => {
  const { status, stderr } = await runCli('pakc');
  assert.is(status, 2);
  assert.match(stderr, /\[RELIC_USAGE\] unknown command pakc: expected train, describe, .*\n.*did you mean pack\?/);
  assert.match((await runCli('constructor')).stderr, /unknown command constructor/);
});

test('an option of another command is unknown', async () => {
  const { status, stderr } = await runCli('doctor', '--config', 'x');
  assert.is(status, 2);
  assert.match(stderr, /unknown option --config\n.*relic-train doctor --help/);
});

test('an unexpected error shows its stack and is status 1', async () => {
  const written: string[] = [];
  const output = {
    stdout: () => {
      throw new TypeError('broken');
    },
    stderr: (text: string) => written.push(text),
  };
  assert.is(await main(['--version'], output), 1);
  assert.match(written.join(''), /^relic-train: internal error: TypeError: broken\n\s+at /);
});

test.run();
