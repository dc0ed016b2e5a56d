/**
 * The PMI-1 wire protocol, lines of `cmd=... key=value ...` on the file that the launcher left open in PMI_FD, as spoken by
 * MPICH's and Intel's mpirun (Hydra) and by `srun --mpi=pmi2`. It carries small texts between the ranks of a run.
 *
 * MPI_Init speaks the same protocol on the same file, and expects it to block and not to be finalized, neither of which
 * holds afterwards: a process that has talked here must not initialise MPI, or its launcher ends the run (tried with
 * MPICH 4.0.2). One that uses MPI lets MPI carry its texts.
 */
import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { RelicError } from '../errors.ts';
import type { Deadline } from './deadline.ts';

type Fields = Readonly<Record<string, string>>;

/** Longer than any line of the protocol. */
const LONGEST_LINE = 1 << 16;
const FIX = 'see what the launcher says about its other processes; set MASTER_ADDR and MASTER_PORT to do without it';

export class Pmi {
  private readonly stream: Socket;
  private readonly who: string;
  private readonly deadline: Deadline;
  private received = '';
  private failure: string | undefined;
  private wake: (() => void) | undefined;
  private longestKey = 0;
  private longestValue = 0;
  private space = '';

  private constructor(stream: Socket, who: string, deadline: Deadline) {
    this.stream = stream;
    this.who = who;
    this.deadline = deadline;
    stream.setEncoding('latin1');
    stream.on('data', (text: string) => this.take(text));
    stream.on('error', (error) => this.fail(error.message));
    for (const end of ['end', 'close']) stream.on(end, () => this.fail('the launcher closed the connection'));
  }

  /**
   * @param connection PMI_FD, or a connection in its place.
   * @param who waits, for errors: `rank 1 of 2`.
   * @throws RelicError RELIC_RANKS when the launcher does not speak PMI-1, or not before the deadline; so do all methods.
   *   The connection is then left open, but keeps no process alive: Hydra ends the run as soon as it is closed without a
   *   farewell, before anybody could say why
   */
  static async open(connection: number | Socket, who: string, deadline: Deadline): Promise<Pmi> {
    const pmi = new Pmi(typeof connection === 'number' ? adopt(connection) : connection, who, deadline);
    await pmi.call({ cmd: 'init', pmi_version: '1', pmi_subversion: '1' }, 'response_to_init');
    const maxes = await pmi.call({ cmd: 'get_maxes' }, 'maxes');
    pmi.longestKey = Number(maxes.keylen_max);
    pmi.longestValue = Number(maxes.vallen_max);
    pmi.space = (await pmi.call({ cmd: 'get_my_kvsname' }, 'my_kvsname')).kvsname;
    return pmi;
  }

  /** The name of the key space, the same on all ranks and another for each run. */
  get spaceName(): string {
    return this.space;
  }

  /** Others can read it after the next {@link barrier}. */
  async put(key: string, value: string): Promise<void> {
    const fits = key.length < this.longestKey && value.length < this.longestValue;
    if (!fits || /[\s=]/.test(key) || /\s/.test(value)) {
      throw protocolError(`cannot carry ${key}=${value}`, `at most ${this.longestValue - 1} characters without blanks`);
    }
    await this.call({ cmd: 'put', kvsname: this.space, key, value }, 'put_result');
  }

  /** Returns once every rank of the run has called it. */
  async barrier(): Promise<void> {
    await this.call({ cmd: 'barrier_in' }, 'barrier_out');
  }

  async get(key: string): Promise<string> {
    return (await this.call({ cmd: 'get', kvsname: this.space, key }, 'get_result')).value;
  }

  /** Tells the launcher that this process may end without taking the others with it, and closes. */
  async finalize(): Promise<void> {
    await this.call({ cmd: 'finalize' }, 'finalize_ack');
    this.stream.destroy();
  }

  private async call(request: Fields, expected: string): Promise<Fields> {
    const words = Object.entries(request).map(([name, value]) => `${name}=${value}`);
    this.stream.write(`${words.join(' ')}\n`);
    const others = request.cmd === 'barrier_in' ? 'the other ranks at a barrier' : `an answer to ${request.cmd}`;
    try {
      const line = await this.deadline.race(this.line(), `${this.who} waited for ${others} (PMI)`, FIX);
      const reply = parse(line);
      if (reply.cmd !== expected || (reply.rc ?? '0') !== '0')
        throw protocolError('answered otherwise', expected, line);
      return reply;
    } catch (error) {
      this.stream.unref();
      throw error;
    }
  }

  private async line(): Promise<string> {
    for (;;) {
      const end = this.received.indexOf('\n');
      if (end >= 0) {
        const line = this.received.slice(0, end);
        this.received = this.received.slice(end + 1);
        return line;
      }
      if (this.failure !== undefined) throw protocolError('broke off', 'a reply', this.failure);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  private take(text: string): void {
    this.received += text;
    if (this.received.length > LONGEST_LINE) this.fail('a line without an end');
    this.wake?.();
  }

  private fail(reason: string): void {
    this.failure ??= reason;
    this.wake?.();
  }
}

/** The number may be that of any file of this process, if the launcher's was closed on the way here. */
function adopt(fd: number): Socket {
  let received = 'a file of another kind';
  try {
    if (fstatSync(fd).isSocket()) return new Socket({ fd, readable: true, writable: true });
  } catch (error) {
    received = error instanceof Error ? error.message : String(error);
  }
  throw new RelicError('RELIC_RANKS', `PMI_FD=${fd} is no connection to a launcher`, {
    received,
    fix: 'start with `mpirun node_modules/.bin/relic-train`: npx and other programs in between may not hand it on',
  });
}

/** A value goes on after a second `=`. */
function parse(line: string): Fields {
  const fields = line
    .trim()
    .split(/\s+/)
    .map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
    });
  return Object.fromEntries(fields);
}

function protocolError(what: string, expected: string, received?: string): RelicError {
  return new RelicError('RELIC_RANKS', `the launcher ${what} (PMI)`, {
    expected,
    ...(received === undefined ? {} : { received }),
    fix: FIX,
  });
}
