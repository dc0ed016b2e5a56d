/** Hosts and ports on which rank 0 can be reached. */
import { createHash } from 'node:crypto';
import { type LookupAddress, lookup } from 'node:dns';
import { hostname, networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { RelicError } from '../errors.ts';

const FIRST_PORT = 20_000;
const PORTS = 20_000;
const TRIES = 64;
const LOOPBACK = '127.0.0.1';
/** What Debian's installer calls the machine's own name in /etc/hosts; no other machine can reach it. */
const DEBIAN_LOOPBACK = '127.0.1.1';

/** All addresses of a host, IPv4 first; throws where the name is not known. */
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

const resolveHere: Resolve = async (host) => {
  const found: LookupAddress[] = await promisify(lookup)(host, { all: true });
  return found.sort((a, b) => a.family - b.family);
};

/** The port that belongs to a run, and with `probing` others to try when it is taken. */
export function* portsOf(runId: string, probing: boolean): Generator<number> {
  const first = createHash('sha256').update(runId).digest().readUInt32BE() % PORTS;
  for (let i = 0; i < (probing ? TRIES : 1); i++) yield FIRST_PORT + ((first + i) % PORTS);
}

/**
 * The address that all ranks use for a host they were told.
 * @param oneNode whether all ranks are on this machine.
 * @throws RelicError RELIC_RANKS for a name that is not known, or an address that other machines cannot use
 */
export async function resolveHost(host: string, oneNode: boolean, resolve: Resolve = resolveHere): Promise<string> {
  let address: string;
  try {
    [{ address }] = await resolve(host);
  } catch (error) {
    throw refused(`rank 0's host ${host} is not known here`, {
      received: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
  if (['0.0.0.0', '::'].includes(address)) throw refused('rank 0 needs one address', { received: host });
  if (address === DEBIAN_LOOPBACK && !oneNode) {
    throw refused(`rank 0's host ${host} is ${address} here, which other machines cannot reach`, {
      expected: 'an address of its network',
    });
  }
  return address;
}

/**
 * The address on which this machine, rank 0's, is reached by others: that of its name, else of its first network
 * interface; the loopback address where all ranks are here, or there is no network.
 */
export async function ownAddress(
  oneNode: boolean,
  resolve: Resolve = resolveHere,
  interfaces: typeof networkInterfaces = networkInterfaces,
): Promise<string> {
  if (oneNode) return LOOPBACK;
  const named = await resolve(hostname()).catch(() => []);
  const outside = Object.values(interfaces()).flatMap((each) => (each ?? []).filter(({ internal }) => !internal));
  // A link-local address (IPv6) is of no use without the name of an interface.
  const usable = outside.filter(({ address }) => !address.startsWith('fe80'));
  const known = named.find(({ address }) => usable.some((each) => each.address === address));
  const ipv4 = usable.find(({ family }) => family === 'IPv4');
  return known?.address ?? ipv4?.address ?? usable[0]?.address ?? LOOPBACK;
}

function refused(subject: string, details: { expected?: string; received?: string; cause?: unknown }): RelicError {
  return new RelicError('RELIC_RANKS', subject, {
    ...details,
    fix: 'set MASTER_ADDR (or --rdzv) to a host name or address of rank 0 that all ranks can reach',
  });
}
