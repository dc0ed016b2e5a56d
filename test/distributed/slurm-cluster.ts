/**
 * A Slurm of two nodes on this machine, for the time of a test: `n1` and `n2` of four CPUs each, whatever the machine has,
 * on the loopback address alone and without authentication. Any user can start it where Slurm's daemons are installed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { CommandLine } from './launchers.ts';

const NODES = ['n1', 'n2'];
const START_MS = 30_000;

/** Whether the daemons and commands of Slurm are installed; the commands say nothing at all without a configuration. */
export function slurmPresent(): boolean {
  return ['slurmctld', 'slurmd', 'srun', 'sbatch'].every(
    (program) =>
      (spawnSync(program, ['-V'], { stdio: 'ignore' }).error as NodeJS.ErrnoException | undefined)?.code !== 'ENOENT',
  );
}

export class SlurmCluster {
  readonly dir = mkdtempSync(join(tmpdir(), 'relic-slurm-'));
  private readonly daemons: ChildProcess[] = [];

  /** Of a process that talks to this Slurm. */
  get environment(): Record<string, string> {
    return { SLURM_CONF: join(this.dir, 'slurm.conf') };
  }

  /** Starts the daemons and waits until both nodes take work. */
  async start(): Promise<void> {
    writeFileSync(this.environment.SLURM_CONF, this.configuration());
    this.daemon('slurmctld', '-D');
    for (const node of NODES) {
      mkdirSync(join(this.dir, node));
      this.daemon('slurmd', '-D', '-N', node);
    }
    const end = performance.now() + START_MS;
    while (performance.now() < end) {
      if (this.call('sinfo', '-h', '-N', '-o', '%T')?.trim() === 'idle\nidle') return;
      await pause(100);
    }
    const log = readFileSync(join(this.dir, 'ctld.log'), 'utf8').split('\n').slice(-10).join('\n');
    throw new Error(`Slurm did not start in ${START_MS} ms:\n${log}`);
  }

  /** Ends all jobs, then the daemons. */
  async stop(): Promise<void> {
    this.call('scancel', '--signal=KILL', '--full', '--user', userInfo().username);
    this.call('scancel', '--user', userInfo().username);
    const gone = this.daemons.map(
      (daemon) => new Promise((resolve) => (daemon.exitCode === null ? daemon.once('exit', resolve) : resolve(null))),
    );
    for (const daemon of this.daemons.reverse()) daemon.kill('SIGTERM');
    await Promise.all(gone);
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A step of `program`. @param options of srun: nodes, tasks, `--mpi`. */
  srun(options: readonly string[], program: string, args: readonly string[]): CommandLine {
    const always = ['--kill-on-bad-exit=1', '--overcommit'];
    return { program: 'srun', args: [...always, ...options, program, ...args], environment: this.environment };
  }

  /** Output of one of Slurm's commands; undefined where it fails. */
  call(program: string, ...args: string[]): string | undefined {
    const env = { ...process.env, ...this.environment };
    try {
      return execFileSync(program, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    } catch {
      return undefined;
    }
  }

  private daemon(program: string, ...args: string[]): void {
    const env = { ...process.env, ...this.environment };
    this.daemons.push(spawn(program, args, { env, stdio: 'ignore' }));
  }

  private configuration(): string {
    const [user, host] = [userInfo().username, hostname()];
    // Of its own, so that two test processes can each have a cluster.
    const port = 41_000 + (process.pid % 100) * 60;
    return [
      'ClusterName=test',
      `SlurmctldHost=${host}(127.0.0.1)`,
      `SlurmctldPort=${port}`,
      `SrunPortRange=${port + 10}-${port + 59}`,
      `SlurmUser=${user}`,
      `SlurmdUser=${user}`,
      `StateSaveLocation=${this.dir}`,
      `SlurmdSpoolDir=${this.dir}/%n`,
      `SlurmctldPidFile=${this.dir}/ctld.pid`,
      `SlurmdPidFile=${this.dir}/%n.pid`,
      `SlurmctldLogFile=${this.dir}/ctld.log`,
      `SlurmdLogFile=${this.dir}/%n.log`,
      // Without credentials, and with less time before a job that was queued again starts again.
      'AuthType=auth/none',
      'CredType=cred/none',
      'AuthInfo=cred_expire=5',
      'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
      'ProctrackType=proctrack/linuxproc',
      'TaskPlugin=task/none',
      'JobAcctGatherType=jobacct_gather/none',
      'AccountingStorageType=accounting_storage/none',
      'SwitchType=switch/none',
      'SelectType=select/cons_tres',
      'SelectTypeParameters=CR_Core',
      'MpiDefault=none',
      'ReturnToService=2',
      'KillWait=10',
      'JobRequeue=1',
      'SchedulerParameters=sched_interval=2',
      'SlurmdParameters=config_overrides',
      `NodeName=n[1-2] NodeHostname=${host} NodeAddr=127.0.0.1 Port=[${port + 1}-${port + 2}] CPUs=4`,
      'PartitionName=all Nodes=n[1-2] Default=YES OverSubscribe=FORCE:4 MaxTime=INFINITE State=UP',
      '',
    ].join('\n');
  }
}
