import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { candidates, search } from '../../../src/engine/native/loader.ts';
import { nativeBinary } from '../engines.ts';

const test = suite('engine/native/loader');
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

const text = join(work, 'text.node');
writeFileSync(text, 'this is text');
const broken = { path: text, origin: 'built here' };
const nowhere = { path: join(work, 'nowhere.node'), origin: 'prebuilt' };
const working = nativeBinary === undefined ? [] : [{ path: nativeBinary.path, origin: 'built here' }];

test('candidates: RELIC_NATIVE, then a build, then the package', () => {
  const before = process.env.RELIC_NATIVE;
  process.env.RELIC_NATIVE = 'some/relic.node';
  const paths = candidates();
  delete process.env.RELIC_NATIVE;
  assert.equal(
    paths.map(({ origin }) => origin),
    ['RELIC_NATIVE', 'built here', 'prebuilt'],
  );
  assert.is(paths[0].path, resolve('some/relic.node'));
  assert.ok(paths[1].path.endsWith('/build/Release/relic.node'));
  const tuple = `${process.platform}-${process.arch}`;
  assert.match(paths[2].path, new RegExp(`/prebuilds/${tuple}/relic-train(\\.glibc|\\.musl)?\\.node$`));
  assert.is(candidates().length, 2);
  if (before !== undefined) process.env.RELIC_NATIVE = before;
});

test('what cannot be used is told with its reason, and the next one is taken', async () => {
  const { loaded, failures, absent } = await search([broken, nowhere, ...working]);
  assert.is(loaded?.path, nativeBinary?.path);
  assert.equal(
    failures.map(({ path }) => path),
    [text],
  );
  assert.ok(failures[0].reason.length > 10);
  assert.equal(absent, [nowhere]);
});

test('a binary that crashes when it is loaded leaves this process alive', async () => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return;
  const crash = fileURLToPath(new URL('../../fixtures/native/crash-linux-x64.node', import.meta.url));
  const { loaded, failures } = await search([{ path: crash, origin: 'prebuilt' }, ...working]);
  assert.match(failures[0].reason, /crashed/);
  assert.is(loaded?.path, nativeBinary?.path);
});

test('RELIC_NATIVE that leads nowhere is a failure, since it was asked for', async () => {
  const { failures, absent } = await search([{ ...nowhere, origin: 'RELIC_NATIVE' }]);
  assert.equal([failures.length, absent.length], [1, 0]);
});

test('no binary is probed on a CPU below the baseline', async () => {
  const { loaded, failures } = await search([broken, ...working], 'this CPU lacks popcnt');
  assert.is(loaded, undefined);
  for (const { reason } of failures) assert.is(reason, 'this CPU lacks popcnt');
});

test('a binary of another version is not loaded', async () => {
  if (nativeBinary === undefined) return;
  const version = nativeBinary.binding.version();
  const other = version.replace(/\d$/, (digit) => String((Number(digit) + 1) % 10));
  const bytes = readFileSync(nativeBinary.path);
  for (let at = 0; (at = bytes.indexOf(`${version}\0`, at)) >= 0; at++) bytes.write(other, at);
  const path = join(work, 'other.node');
  writeFileSync(path, bytes);
  const { loaded, failures } = await search([{ path, origin: 'built here' }]);
  assert.is(loaded, undefined);
  assert.ok(failures[0].reason.includes(other) && failures[0].reason.includes(version), failures[0].reason);
});

test.run();
