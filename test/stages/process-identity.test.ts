import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isRunningElsewhere, thisProcess } from '../../src/stages/process-identity.ts';

const test = suite('process identity');

test('this process is not another one', () => {
  assert.is(thisProcess().pid, process.pid);
  assert.not.ok(isRunningElsewhere(thisProcess()));
});

test('another process runs until it has ended', async () => {
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const { host } = thisProcess();
  const at = async (pid: number) => {
    // The child tells its own start; here it is read as the module reads it.
    const { readFileSync, existsSync } = await import('node:fs');
    const path = `/proc/${pid}/stat`;
    return existsSync(path) ? readFileSync(path, 'utf8').split(') ')[1].split(' ')[19] : '';
  };
  const identity = { host, pid: child.pid!, started: await at(child.pid!) };
  assert.ok(isRunningElsewhere(identity));
  assert.not.ok(isRunningElsewhere({ ...identity, host: 'another machine' }));
  if (identity.started !== '')
    assert.not.ok(isRunningElsewhere({ ...identity, started: '1' }), 'the number was reused');
  child.kill();
  await once(child, 'exit');
  assert.not.ok(isRunningElsewhere(identity));
});

test.run();
