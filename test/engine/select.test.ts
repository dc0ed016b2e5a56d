import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isFallback, listEngines, selectEngine } from '../../src/engine/select.ts';
import { assertRejectsCode } from '../assert.ts';

const test = suite('engine selection');
const AUTO = { device: 'cpu', engine: 'auto', threads: null } as const;

test('every engine is listed, best first, with why it cannot run', async () => {
  const engines = await listEngines();
  assert.equal(
    engines.map(({ name, available }) => [name, available]),
    [
      ['cuda', false],
      ['native', false],
      ['typescript', true],
    ],
  );
  for (const { reason } of engines) assert.ok(reason.length > 10, reason);
});

test('auto takes the best engine present and says what was passed over', async () => {
  const { info } = await selectEngine(AUTO);
  assert.equal([info.name, info.device], ['typescript', 'cpu']);
  assert.match(info.reason, /^the best engine present \(native: .*\)$/);
  assert.is(isFallback(AUTO, info), false);
});

test('an engine asked for by name is taken', async () => {
  const { info } = await selectEngine({ ...AUTO, engine: 'typescript' });
  assert.equal([info.name, info.reason], ['typescript', 'asked for by name']);
});

test('an engine asked for by name that cannot run is an error, not a fallback', async () => {
  for (const engine of ['native', 'cuda'] as const) {
    const error = await assertRejectsCode(
      selectEngine({ ...AUTO, engine }),
      'RELIC_ENGINE_UNAVAILABLE',
      /device_config\.engine/,
    );
    assert.match(error.message, /auto or typescript/);
    assert.match(error.message, /fix: set device_config\.engine to auto/);
  }
});

test('device cuda without CUDA runs on the CPU and says so in the reason', async () => {
  for (const engine of ['auto', 'typescript'] as const) {
    const request = { ...AUTO, device: 'cuda', engine } as const;
    const { info } = await selectEngine(request);
    assert.is(info.name, 'typescript');
    assert.match(info.reason, /^WARNING: device cuda was requested and the run is on the CPU/);
    assert.is(isFallback(request, info), true);
  }
  assert.match((await selectEngine({ ...AUTO, device: 'cuda' })).info.reason, /cuda: /);
});

test.run();
