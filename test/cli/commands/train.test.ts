import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Project } from '../../e2e/project.ts';
import { runCli } from '../capture.ts';

const test = suite('cli/commands/train');
const home = process.cwd();
const here = new Project();
test.before(() => process.chdir(here.dir));
test.after(() => {
  process.chdir(home);
  here.remove();
});

test('train is the default command', async () => {
  const plan = async (...args: string[]) => {
    const { status, stdout, stderr } = await runCli(...args, '--config', 'config.yaml', '--dry-run');
    assert.is(status, 0, stderr);
    assert.is(stderr, 'INFO:__main__:Loaded config: config.yaml\n');
    return stdout.replace(/about .*/, '');
  };
  assert.is(await plan(), await plan('train'));
});

test('simulated ranks need a config that asks for ranks', async () => {
  const args = ['--config', 'config.yaml', '--dry-run', '--simulate-ranks', '2'];
  const { status, stderr } = await runCli(...args);
  assert.is(status, 2);
  assert.match(stderr, /\[RELIC_USAGE\] device_config\.ddp_enabled: --simulate-ranks has no effect.*fix: add --set/s);
  const allowed = await runCli(...args, '--set', 'device_config.ddp_enabled=true');
  assert.is(allowed.status, 0, allowed.stderr);
  assert.match(allowed.stdout, /2 epoch\(s\) of 2 steps, .* on 2 rank\(s\)/);
});

test('so is a rank given by options, and one given in part is a wrong command line', async () => {
  const run = (...args: string[]) => runCli('--config', 'config.yaml', ...args);
  const two = await run('--rank', '1', '--world-size', '2', '--rdzv', '127.0.0.1:5000');
  assert.is(two.status, 70);
  assert.match(two.stderr, /^relic-train: error \[RELIC_RANKS\] rank 1: .*2 processes were started.*ddp_enabled=true/s);
  const partly = await run('--rank', '1');
  assert.is(partly.status, 2);
  assert.match(partly.stderr, /--rank needs --world-size/);
  assert.equal(here.made(), []);
});

test('several launched processes are refused, and only the first tells its config', async () => {
  const { WORLD_SIZE, RANK } = process.env;
  try {
    Object.assign(process.env, { WORLD_SIZE: '2', RANK: '1' });
    const { status, stderr } = await runCli('--config', 'config.yaml');
    assert.is(status, 70);
    assert.match(stderr, /^relic-train: error \[RELIC_RANKS\]/);
  } finally {
    for (const [name, value] of Object.entries({ WORLD_SIZE, RANK })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
  assert.equal(here.made(), []);
});

test.run();
