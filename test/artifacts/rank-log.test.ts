import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openRankLog } from '../../src/artifacts/rank-log.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('rank log');
const dir = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(dir, { recursive: true, force: true }));

const NOW = () => new Date(2026, 10, 24, 1, 32, 57);
const OPTIONS = { model: 'v3', runId: 'p', rank: 2, now: NOW };

test('stages share a file, in which every record is as in log.log', () => {
  const directory = join(dir, 'new', 'ranks');
  const [first, second] = ['pretrain', 'finetune'].map((stage) => openRankLog({ ...OPTIONS, directory, stage }));
  first.event('epoch_start', { epoch: 1 });
  first.heartbeat('Epoch 1 step 1/4', { step: 1 });
  second.warning('interrupted');
  second.note('info', 'ranks_joined', { ranks: 3 });
  first.error('failed\nhere');
  const text = readFileSync(join(directory, 'rank.2.log'), 'utf8');
  const at = '2026-11-24 01:32:57';
  assert.equal(text.split('\n'), [
    `${at} INFO relic.v3.pretrain.p.rank2 - epoch_start | epoch=1`,
    `${at} INFO relic.v3.pretrain.p.rank2 - Epoch 1 step 1/4`,
    `${at} WARNING relic.v3.finetune.p.rank2 - interrupted`,
    `${at} INFO relic.v3.finetune.p.rank2 - ranks_joined | ranks=3`,
    `${at} ERROR relic.v3.pretrain.p.rank2 - failed\\nhere`,
    '',
  ]);
  first.close();
  first.close();
  first.event('too late');
  second.close();
  assert.is(readFileSync(join(directory, 'rank.2.log'), 'utf8'), text);
});

test('a folder that cannot be made is an error that names it', () => {
  writeFileSync(join(dir, 'file'), '');
  const open = () => openRankLog({ ...OPTIONS, directory: join(dir, 'file', 'ranks'), stage: 'pretrain' });
  assertThrowsCode(open, 'RELIC_IO', /file\/ranks/);
});

test.run();
