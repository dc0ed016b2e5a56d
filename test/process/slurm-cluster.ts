/**
 * A Slurm of this machine alone: one or two nodes of four CPUs each, all daemons on the loopback interface, without
 * authentication, everything in a folder of its own. Root and ordinary users can start it. However the test ends, a
 * shell that waits for the end of its input ends jobs and daemons and removes the folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { CommandLine } from '../distributed/launchers.ts';
import { type Finished, finished } from '../e2e/project.ts';
import { freePorts, onPath, until } from './waiting.ts';

const PROGRAMS = ['slurmctld', 'slurmd', 'srun', 'sbatch', 'scancel', 'scontrol', 'sinfo', 'squeue'];
const CPUS_PER_NODE = 4;
/** The deadline of everything that takes a second on a machine that is not busy. */
const PATIENCE_MS = 90_000;
/** Characters of a job's output that a message shows. */
const TAIL = 1500;

/** Why no Slurm can be started here; undefined where one can. */
export function slurmMissing(): string | undefined {
  if (process.platform !== 'linux') return `Slurm runs on Linux, this is ${process.platform}`;
  const missing = PROGRAMS.filter((each) => !onPath(each));
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`;
}

/** What `scontrol show job` tells, by its own names. */
export type Job = Readonly<Record<string, string>>;

export interface SlurmOptions {
  /** n1, or n1 and n2. */
  readonly nodes?: 1 | 2;
}

export interface SubmitOptions {
  /** The folder of submission, where the job starts. */
  readonly cwd: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export class SlurmCluster {
  /** To be set beside what is inherited by whatever talks to this cluster. */
  readonly environment: Readonly<Record<string, string>>;
  readonly dir: string;
  readonly #reaper: ChildProcess;

  private constructor(dir: string) {
    this.dir = dir;
    this.environment = { SLURM_CONF: join(dir, 'slurm.conf') };
    // In a session of its own, so that what ends the test's whole process group leaves it its work.
    this.#reaper = spawn('sh', ['-c', REAPER], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    this.#reaper.stdin?.write(`${dir}\n`);
  }

  static async start({ nodes = 1 }: SlurmOptions = {}): Promise<SlurmCluster> {
    const dir = mkdtempSync(join(tmpdir(), 'relic-slurm-'));
    const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
    writeFileSync(join(dir, 'slurm.conf'), configuration(dir, names, await freePorts(nodes + 1)));
    for (const each of ['state', 'jobs', ...names.map((name) => `spool.${name}`)]) mkdirSync(join(dir, each));
    const cluster = new SlurmCluster(dir);
    try {
      await cluster.#daemon('slurmctld', '-c');
      for (const name of names) await cluster.#daemon('slurmd', '-N', name);
      await until('every node is idle', PATIENCE_MS, async () => {
        const { stdout } = await cluster.run('sinfo', ['--noheader', '--Node', '--format=%T']);
        const states = stdout.trim().split(/\s+/);
        return states.length === nodes && states.every((each) => each === 'idle');
      });
      return cluster;
    } catch (error) {
      const told = (error as Error).message;
      const logs = cluster.logs();
      await cluster.stop();
      throw new Error(`Slurm did not start: ${told}\n${logs}`);
    }
  }

  async #daemon(program: string, ...args: string[]): Promise<void> {
    const { status, stderr } = await this.run(program, args);
    if (status !== 0) throw new Error(`${program} ended with status ${status}: ${stderr}`);
  }

  /** Starts one of Slurm's commands, or whatever runs them; nothing of an outer Slurm is inherited. */
  start(program: string, args: readonly string[], { cwd, environment = {} }: Partial<SubmitOptions> = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(SLURM|OMPI|PMI|PMIX|SBATCH)_/.test(name));
    return spawn(program, args, {
      cwd: cwd ?? this.dir,
      env: { ...Object.fromEntries(inherited), ...this.environment, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 5 * PATIENCE_MS,
    });
  }

  run(program: string, args: readonly string[], options?: Partial<SubmitOptions>): Promise<Finished> {
    return finished(this.start(program, args, options));
  }

  /** As {@link run}, for a command that must succeed. @returns its standard output, trimmed */
  async succeed(program: string, args: readonly string[], options?: Partial<SubmitOptions>): Promise<string> {
    const { status, stdout, stderr } = await this.run(program, args, options);
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with status ${status}: ${stderr}${stdout}`);
    return stdout.trim();
  }

  /** The command line of a step of `program`. @param options of srun: nodes, tasks, `--mpi`. */
  srun(options: readonly string[], program: string, args: readonly string[]): CommandLine {
    const always = ['--kill-on-bad-exit=1', '--overcommit'];
    return { program: 'srun', args: [...always, ...options, program, ...args], environment: this.environment };
  }

  /** Submits a job whose output goes to the file that {@link output} reads. @returns its id */
  async sbatch(args: readonly string[], options: SubmitOptions): Promise<string> {
    const output = `--output=${join(this.dir, 'jobs', '%j.out')}`;
    return this.succeed('sbatch', ['--parsable', output, ...args], options);
  }

  /** What a job has printed so far, both streams. */
  output(id: string): string {
    try {
      return readFileSync(join(this.dir, 'jobs', `${id}.out`), 'utf8');
    } catch {
      return '';
    }
  }

  /** The end of it, for messages. */
  #lastOutput(id: string): string {
    return this.output(id).slice(-TAIL);
  }

  async job(id: string): Promise<Job> {
    const line = await this.succeed('scontrol', ['show', 'job', '--oneliner', id]);
    // A value may have blanks, as a command line has; a name of the next field ends it.
    return Object.fromEntries(Array.from(line.matchAll(/(\S+?)=(.*?)(?=\s+[A-Z][\w/:]*=|$)/g), ([, k, v]) => [k, v]));
  }

  /** Waits until the job is in one of these states, or `passes`. @throws Error with what it printed when it is not */
  async waitFor(id: string, states: readonly string[], passes = (_job: Job): boolean => true): Promise<Job> {
    let job: Job = {};
    const what = () =>
      `job ${id} is ${states.join(' or ')}; it is ${job.JobState} (${job.Reason})\n${this.#lastOutput(id)}`;
    await until(what, PATIENCE_MS, async () => {
      job = await this.job(id);
      return states.includes(job.JobState) && passes(job);
    });
    return job;
  }

  /** Waits until the job has printed this. */
  async waitForOutput(id: string, text: RegExp): Promise<void> {
    await until(
      () => `job ${id} prints ${text}: ${this.#lastOutput(id)}`,
      PATIENCE_MS,
      () => text.test(this.output(id)),
    );
  }

  /** The last lines of every daemon's log. */
  logs(): string {
    const tail = (name: string) => readFileSync(join(this.dir, name), 'utf8').split('\n').slice(-20).join('\n');
    const names = readdirSync(this.dir).filter((name) => name.endsWith('.log'));
    return names.map((name) => `${name}:\n${tail(name)}`).join('\n');
  }

  /** Ends all jobs and daemons and removes the folder. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#reaper.on('close', resolve));
    if (this.#reaper.exitCode !== null) return;
    this.#reaper.stdin?.end();
    await ended;
  }
}

/** Daemons, steps and whatever they started, of the cluster in a folder, by their command lines and variables. */
export function runningWith(dir: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return ['environ', 'cmdline'].some((each) => readFileSync(`/proc/${pid}/${each}`, 'latin1').includes(dir));
    } catch {
      return false;
    }
  });
}

function configuration(dir: string, names: readonly string[], [controller, ...ports]: readonly number[]): string {
  const user = userInfo().username;
  const host = hostname();
  const nodes = names.map(
    (name, i) => `NodeName=${name} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[i]} CPUs=${CPUS_PER_NODE}`,
  );
  return `${[
    'ClusterName=relic',
    `SlurmctldHost=${host}(127.0.0.1)`,
    `SlurmctldPort=${controller}`,
    `SlurmUser=${user}`,
    `SlurmdUser=${user}`,
    'AuthType=auth/none',
    'CredType=cred/none',
    // A job that is queued again waits until its credential has expired, two minutes by default.
    'AuthInfo=cred_expire=5',
    'CommunicationParameters=NoInAddrAny,NoCtldInAddrAny',
    `StateSaveLocation=${dir}/state`,
    `SlurmdSpoolDir=${dir}/spool.%n`,
    `SlurmctldPidFile=${dir}/slurmctld.pid`,
    `SlurmdPidFile=${dir}/slurmd.%n.pid`,
    `SlurmctldLogFile=${dir}/slurmctld.log`,
    `SlurmdLogFile=${dir}/slurmd.%n.log`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'JobAcctGatherType=jobacct_gather/none',
    'AccountingStorageType=accounting_storage/none',
    'SwitchType=switch/none',
    'SelectType=select/cons_tres',
    'SelectTypeParameters=CR_Core',
    'MpiDefault=none',
    'MailProg=/bin/true',
    'ReturnToService=2',
    'KillWait=10',
    'JobRequeue=1',
    'MessageTimeout=60',
    'SchedulerParameters=sched_interval=2,batch_sched_delay=0',
    // More CPUs than the machine has.
    'SlurmdParameters=config_overrides',
    ...nodes,
    `PartitionName=all Nodes=${names.join(',')} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4`,
  ].join('\n')}\n`;
}

/**
 * Reads the folder, then waits for the end of its input. Then jobs end before the daemons that know them; whatever still
 * has the folder in its command line or environment is killed, and the folder is removed. The shell itself has it in
 * neither.
 */
const REAPER = `
read -r dir
cat > /dev/null
cd /
jobs() { SLURM_CONF="$dir/slurm.conf" timeout 20 squeue --noheader --format=%A 2> /dev/null; }
for job in $(jobs); do SLURM_CONF="$dir/slurm.conf" timeout 20 scancel --signal=KILL --full "$job"; done
tries=0
while [ $tries -lt 50 ] && [ -n "$(jobs)" ]; do sleep 0.1; tries=$((tries + 1)); done
for file in "$dir"/slurmctld.pid "$dir"/slurmd.*.pid; do [ -s "$file" ] && kill "$(cat "$file")"; done
left() { echo "$dir" | grep -lsFf - /proc/[0-9]*/environ /proc/[0-9]*/cmdline | sed 's|/proc/||; s|/.*||' | sort -u; }
tries=0
while [ $tries -lt 50 ] && [ -n "$(left)" ]; do sleep 0.1; tries=$((tries + 1)); done
for pid in $(left); do kill -KILL "$pid"; done
rm -rf "$dir"
`;
