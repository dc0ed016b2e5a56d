import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  cudaAvailability,
  isFallback,
  listEngines,
  nativeAvailability,
  searchCuda,
  selectEngine,
} from '../../src/engine/select.ts';
import { assertRejectsCode } from '../assert.ts';
import { nativeBinary } from './engines.ts';

const test = suite('engine selection');
const AUTO = { device: 'cpu', engine: 'auto', threads: null, cpu_precision: 'fp32' } as const;
const BEST = nativeBinary === undefined ? 'typescript' : 'native';
const MISSING = BEST === 'native' ? (['cuda'] as const) : (['native', 'cuda'] as const);
const CANDIDATE = { path: '/x/relic.node', origin: 'built here' };

test('every engine is listed, best first, with why it cannot run', async () => {
  const engines = await listEngines();
  assert.equal(
    engines.map(({ name, available }) => [name, available]),
    [
      ['cuda', false],
      ['native', nativeBinary !== undefined],
      ['typescript', true],
    ],
  );
  for (const { reason } of engines) assert.ok(reason.length > 10, reason);
});

test('auto takes the best engine present and says why', async () => {
  const { info } = await selectEngine(AUTO);
  assert.equal([info.name, info.device], [BEST, 'cpu']);
  const fallback = /^WARNING: many times slower than the native engine, .* \(native: no binary .*npm run build/;
  assert.match(info.reason, nativeBinary === undefined ? fallback : /^the best engine present; /);
  assert.is(isFallback(info), nativeBinary === undefined);
});

test('the native engine tells its kernels, its binary and its threads', async () => {
  if (nativeBinary === undefined) return;
  const { info } = await selectEngine({ ...AUTO, engine: 'native', threads: 3, cpu_precision: 'fp32' });
  assert.equal([info.threads, info.isa], [3, nativeBinary.isas[0]]);
  assert.ok(info.reason.includes(`${info.isa} kernels of ${nativeBinary.path}`), info.reason);
  process.env.LOCAL_WORLD_SIZE = '1000';
  try {
    const shared = (await selectEngine(AUTO)).info;
    assert.is(shared.threads, 1);
    assert.match(shared.reason, /shared by the 1000 ranks of this node/);
  } finally {
    delete process.env.LOCAL_WORLD_SIZE;
  }
  assert.ok((await selectEngine(AUTO)).info.threads >= 1);
});

test('bf16 is taken where the kernels have it, else told as a warning or, for an engine asked for by name, an error', async () => {
  const { info } = await selectEngine({ ...AUTO, cpu_precision: 'bf16' });
  const [best] = nativeBinary?.bf16Isas ?? [];
  assert.equal([info.precision, isFallback(info)], best === undefined ? ['fp32', true] : ['bf16', false]);
  if (best !== undefined) assert.is(info.isa, best);
  const named = selectEngine({ ...AUTO, engine: 'typescript', cpu_precision: 'bf16' });
  const error = await assertRejectsCode(named, 'RELIC_ENGINE_UNAVAILABLE', /device_config\.cpu_precision/);
  assert.match(
    error.message,
    /expected the native engine on a CPU with AVX512_BF16 or AMX.*received the typescript engine/s,
  );
});

test('an engine asked for by name is taken', async () => {
  const { info } = await selectEngine({ ...AUTO, engine: 'typescript' });
  assert.equal([info.name, info.reason], ['typescript', 'asked for by name']);
});

test('an engine asked for by name that cannot run is an error, not a fallback', async () => {
  for (const engine of MISSING) {
    const error = await assertRejectsCode(
      selectEngine({ ...AUTO, engine }),
      'RELIC_ENGINE_UNAVAILABLE',
      /device_config\.engine/,
    );
    assert.match(error.message, /expected auto or .*typescript/);
    assert.match(error.message, /fix: set device_config\.engine to auto/);
  }
});

test('device cuda without CUDA runs on the CPU and says so in the reason', async () => {
  for (const engine of ['auto', 'typescript'] as const) {
    const { info } = await selectEngine({ ...AUTO, device: 'cuda', engine });
    assert.is(info.name, engine === 'auto' ? BEST : 'typescript');
    assert.match(info.reason, /^WARNING: device cuda was requested and the run is on the CPU/);
    assert.is(isFallback(info), true);
  }
  assert.match((await selectEngine({ ...AUTO, device: 'cuda' })).info.reason, /cuda: /);
});

test('a binary that is not there is no defect; one that does not work is, and is told with its path', () => {
  const absent = nativeAvailability({ loaded: undefined, failures: [], absent: [CANDIDATE] });
  assert.equal([absent.available, absent.defect], [false, undefined]);
  assert.match(absent.reason, /^no binary for \w+-\w+: neither \/x\/relic\.node; npm run build in a clone makes one$/);
  const failures = [{ ...CANDIDATE, reason: 'file too short' }];
  const broken = nativeAvailability({ loaded: undefined, failures, absent: [] });
  assert.equal([broken.available, broken.defect], [false, true]);
  assert.match(broken.reason, /\/x\/relic\.node \(built here\) cannot be used: file too short.*npm run build/);
});

test('why no GPU is used: no binary, no library, no device, or one without code', async () => {
  const none = await searchCuda(undefined);
  assert.equal(cudaAvailability(none), {
    available: false,
    reason: 'it needs a binary of the native engine, and none works here',
  });
  const binary = { ...CANDIDATE, binding: undefined as never, isas: [], bf16Isas: [] };
  assert.match(cudaAvailability(await searchCuda(binary)).reason, /^there is no \/x\/librelic_cuda\.so: npm run build/);
  const device = { name: 'Card', capability: '7.5', memoryBytes: 1, usable: false };
  const old = cudaAvailability({ binary, library: '/x/librelic_cuda.so', devices: [device] });
  assert.equal([old.available, old.defect], [false, true]);
  assert.match(old.reason, /holds no code for Card \(capability 7\.5\)/);
  const good = cudaAvailability({ binary, library: '/x/l.so', devices: [{ ...device, usable: true }] });
  assert.equal(good, { available: true, reason: 'Card (capability 7.5) by /x/l.so' });
});

test.run();
