import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Deadline } from '../../src/distributed/deadline.ts';
import { Pmi } from '../../src/distributed/pmi.ts';
import { assertRejectsCode } from '../assert.ts';

const test = suite('distributed/pmi');

/** What a launcher answers to a request, by its cmd; none where it stays silent. */
type Answers = Readonly<Record<string, string>>;

const ANSWERS: Answers = {
  init: 'cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0',
  get_maxes: 'cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=32',
  get_my_kvsname: 'cmd=my_kvsname kvsname=kvs_1',
  put: 'cmd=put_result rc=0 msg=success',
  barrier_in: 'cmd=barrier_out',
  get: 'cmd=get_result rc=0 msg=success value=20000,a=b',
  finalize: 'cmd=finalize_ack',
};

/** A connection to a launcher in the middle of a process, and the requests it has had. */
async function launcher(answers: Answers, hangUpAt?: string) {
  const requests: string[] = [];
  const server = createServer((socket: Socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        requests.push(line);
        const cmd = /^cmd=(\S+)/.exec(line)?.[1] ?? '';
        if (cmd === hangUpAt) socket.destroy();
        // In two parts, as a stream may bring it.
        else if (answers[cmd] !== undefined) {
          socket.write(answers[cmd].slice(0, 5));
          setImmediate(() => socket.write(`${answers[cmd].slice(5)}\n`));
        }
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const stream = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1');
  server.unref();
  const close = () => {
    stream.destroy();
    server.close();
  };
  return { stream, requests, close };
}

test('the whole conversation, word for word', async () => {
  const { stream, requests, close } = await launcher(ANSWERS);
  const pmi = await Pmi.open(stream, 'rank 1 of 2', new Deadline(10_000));
  assert.is(pmi.spaceName, 'kvs_1');
  await pmi.put('key', '20000,a=b');
  await pmi.barrier();
  assert.is(await pmi.get('key'), '20000,a=b');
  await pmi.finalize();
  assert.equal(requests, [
    'cmd=init pmi_version=1 pmi_subversion=1',
    'cmd=get_maxes',
    'cmd=get_my_kvsname',
    'cmd=put kvsname=kvs_1 key=key value=20000,a=b',
    'cmd=barrier_in',
    'cmd=get kvsname=kvs_1 key=key',
    'cmd=finalize',
  ]);
  assert.ok(stream.destroyed);
  close();
});

test('what the protocol cannot carry is refused before it is sent', async () => {
  const { stream, requests, close } = await launcher(ANSWERS);
  const pmi = await Pmi.open(stream, 'rank 1 of 2', new Deadline(10_000));
  for (const value of ['two words', 'x'.repeat(32)])
    await assertRejectsCode(pmi.put('key', value), 'RELIC_RANKS', /at most 31 characters/);
  await assertRejectsCode(pmi.put('a=b', 'x'), 'RELIC_RANKS', /cannot carry/);
  assert.is(requests.length, 3);
  close();
});

const FAULTS: readonly [name: string, answers: Answers, hangUpAt: string | undefined, message: RegExp][] = [
  [
    'silence',
    { ...ANSWERS, barrier_in: undefined as never },
    undefined,
    /rank 1 of 2 waited for the other ranks at a barrier \(PMI\): nothing came in 0.3 s/,
  ],
  [
    'an answer to something else',
    { ...ANSWERS, barrier_in: 'cmd=abort' },
    undefined,
    /expected barrier_out, received cmd=abort/,
  ],
  ['a failure', { ...ANSWERS, barrier_in: 'cmd=barrier_out rc=-1' }, undefined, /rc=-1/],
  ['the end', ANSWERS, 'barrier_in', /broke off/],
];

for (const [name, answers, hangUpAt, message] of FAULTS) {
  test(`${name} instead of an answer`, async () => {
    const { stream, close } = await launcher(answers, hangUpAt);
    const pmi = await Pmi.open(stream, 'rank 1 of 2', new Deadline(300));
    await assertRejectsCode(pmi.barrier(), 'RELIC_RANKS', message);
    close();
  });
}

test('a file that is not open is told', async () => {
  await assertRejectsCode(
    Pmi.open(987, 'rank 1 of 2', new Deadline(1000)),
    'RELIC_RANKS',
    /PMI_FD=987.*fix: start with `mpirun/s,
  );
});

test.run();
