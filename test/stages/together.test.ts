import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { JOIN_NOBODY } from '../../src/distributed/joined.ts';
import { RelicError } from '../../src/errors.ts';
import { assertSameData, codeOf, collectiveShare, isOnAllRanks, joinRequest } from '../../src/stages/together.ts';
import { inProcessGroups } from '../distributed/in-process.ts';
import { inProject } from './project.ts';

const test = suite('together');

const INFO = { name: 'native', device: 'cpu', threads: 1, isa: 'avx2', precision: 'fp32', reason: '' } as const;
const ENGINE = { info: INFO, createModel: () => undefined as never };

test('what ranks must have in common', () =>
  inProject(async (project) => {
    const loaded = project.load('device_config.ddp_bucket_mb=0.5');
    const request = joinRequest(loaded, ENGINE);
    assert.is(request.configHash, loaded.hash);
    assert.is(request.bucketBytes, 500_000);
    assert.not.equal(joinRequest(loaded, { ...ENGINE, info: { ...INFO, isa: 'avx512' } }).identity, request.identity);
    assert.is(joinRequest(loaded, { ...ENGINE, info: { ...INFO, threads: 7 } }).identity, request.identity);
  }));

test('other data is an error on every rank, which names the ranks that have it', async () => {
  const outcomes = await Promise.allSettled(
    inProcessGroups(3).map((group) => assertSameData(group, group.rank === 2 ? 'b' : 'a')),
  );
  for (const outcome of outcomes) {
    assert.is(outcome.status, 'rejected');
    const { reason } = outcome as PromiseRejectedResult;
    assert.is(codeOf(reason), 'RELIC_RANKS');
    assert.match(reason.message, /rank 2: data hash b, that of rank 0 is a/);
    assert.ok(isOnAllRanks(reason));
  }
  await Promise.all(inProcessGroups(3).map((group) => assertSameData(group, 'a')));
});

test('failures of one rank and failures of all are told apart', () => {
  assert.ok(isOnAllRanks(new RelicError('RELIC_PREEMPTED', '')));
  assert.ok(isOnAllRanks(new RelicError('RELIC_NOT_FINITE', '')));
  assert.not.ok(isOnAllRanks(new RelicError('RELIC_NO_SPACE', '')));
  assert.not.ok(isOnAllRanks(new RelicError('RELIC_RANKS', '')));
  assert.is(codeOf(new TypeError('x')), 'internal');
});

test('the share of time spent waiting', () => {
  const [from, to] = [new Date(1000), new Date(5000)];
  assert.equal(collectiveShare({ collectiveSeconds: () => ({ waited: 1, total: 2 }) }, from, to), {
    collective_share: 0.25,
  });
  assert.equal(collectiveShare({}, from, to), {});
});

test('a process that joins nobody is alone', async () => {
  const joined = await JOIN_NOBODY.join({
    configHash: '',
    identity: '',
    version: '',
    gpu: undefined,
    trainsTogether: true,
    bucketBytes: 1,
  });
  assert.is(joined.group.size, 1);
  assert.is(joined.ranks, undefined);
  joined.watch('nowhere');
  await joined.fail('RELIC_IO', 'x');
  await joined.leave();
});

test.run();
