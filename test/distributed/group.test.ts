import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ALONE, allGatherText, barrier, fromFirst, isFirst } from '../../src/distributed/group.ts';
import { inProcessGroups } from './in-process.ts';

const test = suite('group');

test('what rank 0 makes is on every rank, with its types; the others make nothing', async () => {
  const made = {
    when: new Date(5),
    places: new Map([['a', new Set([1])]]),
    words: Int32Array.of(7, -1),
    none: undefined,
  };
  const makers: number[] = [];
  const all = await Promise.all(
    inProcessGroups(3).map((group) =>
      fromFirst(group, 'run', () => {
        makers.push(group.rank);
        return made;
      }),
    ),
  );
  assert.equal(makers, [0]);
  for (const each of all) assert.equal(each, made);
  assert.equal(all[2].when.getTime(), 5);
});

test('texts are in rank order', async () => {
  const texts = await Promise.all(inProcessGroups(3).map((group) => allGatherText(group, 'name', `é${group.rank}`)));
  for (const each of texts) assert.equal(each, ['é0', 'é1', 'é2']);
});

test('a barrier waits for the last rank', async () => {
  const [first, second] = inProcessGroups(2);
  const passed: string[] = [];
  const waiting = barrier(first, 'end').then(() => passed.push('first'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(passed, []);
  await barrier(second, 'end');
  await waiting;
  assert.equal(passed, ['first']);
});

test('a process alone agrees with itself', async () => {
  assert.ok(isFirst(ALONE));
  assert.is(await fromFirst(ALONE, 'run', () => 3), 3);
  assert.equal(await allGatherText(ALONE, 'name', 'x'), ['x']);
  assert.equal([...(await ALONE.broadcast('bytes', Uint8Array.of(4)))], [4]);
  await barrier(ALONE, 'end');
});

test.run();
