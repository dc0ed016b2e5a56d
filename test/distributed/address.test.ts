import { hostname, type networkInterfaces } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ownAddress, portsOf, resolveHost } from '../../src/distributed/address.ts';
import { assertRejectsCode } from '../assert.ts';

const test = suite('distributed/address');

test('the port of a run is always the same, and others follow it', () => {
  const ports = [...portsOf('9.3.0', true)];
  assert.equal(ports, [...portsOf('9.3.0', true)]);
  assert.equal([...portsOf('9.3.0', false)], [ports[0]]);
  assert.is(new Set(ports).size, 64);
  for (let i = 0; i < 300; i++)
    for (const port of portsOf(`run ${i}`, true)) assert.ok(port >= 20_000 && port < 40_000, String(port));
  assert.is.not(ports[0], [...portsOf('9.3.1', false)][0]);
});

const known = (address: string) => async () => [{ address, family: address.includes(':') ? 6 : 4 }];

test("rank 0's host is resolved; addresses that others cannot use are refused", async () => {
  assert.is(await resolveHost('n1', false, known('10.0.0.1')), '10.0.0.1');
  assert.is(await resolveHost('127.0.0.1', false), '127.0.0.1');
  assert.is(await resolveHost('box', true, known('127.0.1.1')), '127.0.1.1');
  await assertRejectsCode(
    resolveHost('box', false, known('127.0.1.1')),
    'RELIC_RANKS',
    /box is 127\.0\.1\.1 here.*MASTER_ADDR/s,
  );
  for (const any of ['0.0.0.0', '::']) await assertRejectsCode(resolveHost(any, true), 'RELIC_RANKS', /one address/);
  const unknown = async () => {
    throw new Error('getaddrinfo ENOTFOUND n1');
  };
  await assertRejectsCode(resolveHost('n1', false, unknown), 'RELIC_RANKS', /n1 is not known here.*ENOTFOUND/s);
});

type Interfaces = ReturnType<typeof networkInterfaces>;
const entry = (address: string, internal = false) =>
  ({ address, internal, family: address.includes(':') ? 'IPv6' : 'IPv4' }) as NonNullable<Interfaces[string]>[number];
const LO = [entry('127.0.0.1', true), entry('::1', true)];

test('this machine is reached at the address of its name, else at its network interface', async () => {
  const two = () => ({ lo: LO, eth0: [entry('192.168.0.2')], ib0: [entry('10.0.0.2')] });
  const asked: string[] = [];
  const named = async (host: string) => {
    asked.push(host);
    return [{ address: '10.0.0.2', family: 4 }];
  };
  assert.is(await ownAddress(false, named, two), '10.0.0.2');
  assert.equal(asked, [hostname()]);
  assert.is(await ownAddress(true, named, two), '127.0.0.1');
  assert.is(await ownAddress(false, known('127.0.1.1'), two), '192.168.0.2');
  const ipv6 = () => ({ lo: LO, eth0: [entry('fe80::1'), entry('2001:db8::1')] });
  assert.is(await ownAddress(false, known('127.0.1.1'), ipv6), '2001:db8::1');
  assert.is(await ownAddress(false, known('127.0.1.1'), () => ({ lo: LO })), '127.0.0.1');
});

test.run();
