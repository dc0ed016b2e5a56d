import type * as fs from 'node:fs';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  backupPath,
  dropBackup,
  openCheckpointDirectory,
  promoteBackup,
  writeCheckpointDirectory,
} from '../../../src/artifacts/checkpoint/directory.ts';
import { RelicError } from '../../../src/errors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { failing } from '../failing-fs.ts';

const test = suite('artifacts/checkpoint/directory');
let home = '';
let last = '';
test.before.each(() => {
  home = mkdtempSync(join(tmpdir(), 'relic-'));
  last = join(home, 'last');
});
test.after.each(() => rmSync(home, { recursive: true }));

const save = (content: string, system?: typeof fs) =>
  writeCheckpointDirectory(
    last,
    (directory) => {
      writeFileSync(join(directory, 'a.txt'), content);
      writeFileSync(join(directory, 'b.txt'), 'beta');
    },
    system,
  );
/** Which content would be continued from, and from where. */
const found = () => {
  const directory = openCheckpointDirectory(last);
  return directory && [directory.path.slice(home.length + 1), readFileSync(join(directory.path, 'a.txt'), 'utf8')];
};

test('a checkpoint is there whole, the one before it beside it, and no third', () => {
  assert.is(openCheckpointDirectory(last), undefined);
  for (const content of ['1', '2', '3']) save(content);
  assert.equal(readdirSync(home).sort(), ['last', 'last.backup']);
  assert.equal(readdirSync(last).sort(), ['a.txt', 'b.txt', 'manifest.json']);
  assert.equal(found(), ['last', '3']);
  assert.is(readFileSync(join(backupPath(last), 'a.txt'), 'utf8'), '2');
  // SHA-256 of "beta", as sha256sum prints it.
  const { files } = JSON.parse(readFileSync(join(last, 'manifest.json'), 'utf8'));
  assert.equal(files[1], {
    path: 'b.txt',
    bytes: 4,
    sha256: 'f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753',
  });
  dropBackup(last);
  assert.equal(readdirSync(home), ['last']);
});

test('whatever a killed writer or a broken copy left out, the one before it is taken, and why is said', () => {
  const damages: Record<string, () => void> = {
    'it is missing': () => rmSync(last, { recursive: true }),
    'manifest.json is missing': () => rmSync(join(last, 'manifest.json')),
    'manifest.json is cut short': () => truncateSync(join(last, 'manifest.json'), 40),
    'b.txt is missing': () => rmSync(join(last, 'b.txt')),
    'b.txt has 3 of 4 bytes': () => truncateSync(join(last, 'b.txt'), 3),
  };
  for (const [reason, damage] of Object.entries(damages)) {
    save('old');
    save('new');
    damage();
    assert.is(openCheckpointDirectory(last)?.fallback, reason);
    assert.equal(found(), ['last.backup', 'old'], reason);
    // The next one puts everything in order.
    save('next');
    assert.equal(found(), ['last', 'next'], reason);
  }
});

test('the one before takes the place of one that cannot be used, and is kept by the next', () => {
  save('old');
  save('new');
  truncateSync(join(last, 'a.txt'), 1);
  promoteBackup(last);
  assert.equal([found(), readdirSync(home)], [['last', 'old'], ['last']]);
  save('next');
  assert.is(readFileSync(join(backupPath(last), 'a.txt'), 'utf8'), 'old');
});

test('without one before it an incomplete checkpoint is an error', () => {
  save('only');
  truncateSync(join(last, 'a.txt'), 0);
  assertThrowsCode(() => openCheckpointDirectory(last), 'RELIC_CHECKPOINT_INVALID', /last: .*a\.txt has 0 of 4 bytes/);
});

test('other content than was written is refused, however good the one before it', () => {
  save('old');
  save('new');
  writeFileSync(join(last, 'a.txt'), 'NEW');
  assertThrowsCode(() => openCheckpointDirectory(last), 'RELIC_CHECKPOINT_INVALID', /last\/a\.txt: .*SHA-256/);
});

test('a manifest of something else, or of another version, is refused', () => {
  save('x');
  const manifest = join(last, 'manifest.json');
  const good = JSON.parse(readFileSync(manifest, 'utf8'));
  const refused = (value: unknown, code: 'RELIC_CHECKPOINT_INVALID' | 'RELIC_CHECKPOINT_UNSUPPORTED', text: RegExp) => {
    writeFileSync(manifest, typeof value === 'string' ? value : `${JSON.stringify(value)}\n`);
    assertThrowsCode(() => openCheckpointDirectory(last), code, text);
  };
  refused({ ...good, format: 'other' }, 'RELIC_CHECKPOINT_INVALID', /"other"/);
  refused({ ...good, schema_version: 2 }, 'RELIC_CHECKPOINT_UNSUPPORTED', /received 2/);
  refused({ ...good, files: [{ ...good.files[0], path: '../a.txt' }] }, 'RELIC_CHECKPOINT_INVALID', /list of files/);
  refused({ ...good, files: 'all' }, 'RELIC_CHECKPOINT_INVALID', /list of files/);
  refused('{nonsense}\n', 'RELIC_CHECKPOINT_INVALID', /not the manifest/);
});

test('a failure at any call leaves a complete checkpoint, no rest, and names the path', () => {
  const calls = [
    ['renameSync', 0, 'old'],
    ['renameSync', 1, 'old'],
    ['mkdirSync', 0, 'old'],
  ] as const;
  for (const [call, after, left] of calls) {
    save('old');
    const error = assertThrowsCode(() => save('new', failing(call, 'ENOSPC', after)), 'RELIC_NO_SPACE');
    assert.match(error.message, last);
    assert.is(found()?.[1], left, `${call} ${after}`);
    assert.not.ok(readdirSync(home).some((name) => name.endsWith('.tmp')));
  }
});

test('what the writer of the files throws passes through, and changes nothing', () => {
  save('old');
  const full = new RelicError('RELIC_NO_SPACE', 'full');
  assertThrowsCode(
    () =>
      writeCheckpointDirectory(last, (directory) => {
        writeFileSync(join(directory, 'a.txt'), 'half');
        throw full;
      }),
    'RELIC_NO_SPACE',
  );
  assert.equal(found(), ['last', 'old']);
  assert.not.ok(existsSync(backupPath(last)));
  assert.equal(readdirSync(home), ['last']);
});

test.run();
