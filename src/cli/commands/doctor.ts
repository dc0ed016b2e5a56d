import { cpus, freemem, totalmem } from 'node:os';
import { assertWritable } from '../../artifacts/files.ts';
import { glibcVersion } from '../../engine/native/libc.ts';
import { candidates, findBinary, kernelsOf } from '../../engine/native/loader.ts';
import { listEngines, threadsHere } from '../../engine/select.ts';
import type { ThreadChoice } from '../../engine/threads.ts';
import { readEnv } from '../../env.ts';
import { packageFacts } from '../../stages/package-facts.ts';
import { command } from '../command.ts';
import { bytes, table } from '../table.ts';

export const doctor = command({
  details: [
    'Shows what this machine offers to a run: which engines there are and why others are not, the CPU, the memory, and',
    'whether files can be written in the working directory, where logs/ and models/ go. Binaries of the native engine',
    'are tried in the order shown, each in a process of its own.',
  ].join('\n'),
  examples: ['relic-train doctor', 'relic-train doctor --json'],
  options: { json: { type: 'flag', description: 'print JSON' } },
  async run(values, output) {
    const findings = {
      version: packageFacts().version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      libc: libc(),
      cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', ...threadsHere(null) },
      memory: { totalBytes: totalmem(), freeBytes: freemem() },
      ranks: readEnv().worldSize,
      workingDirectory: { path: process.cwd(), writable: writable(process.cwd()) },
      engines: await listEngines(),
      nativeBinaries: await nativeBinaries(),
      isa: readEnv().isa,
    };
    output.stdout(values.json ? `${JSON.stringify(findings, null, 2)}\n` : `${inWords(findings)}\n`);
  },
});

type Findings = {
  readonly version: string;
  readonly node: string;
  readonly platform: string;
  readonly libc: string;
  readonly cpu: ThreadChoice & { readonly model: string };
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
  readonly ranks: number;
  readonly workingDirectory: { readonly path: string; readonly writable: true | string };
  readonly engines: Awaited<ReturnType<typeof listEngines>>;
  readonly nativeBinaries: Awaited<ReturnType<typeof nativeBinaries>>;
  readonly isa: string | null;
};

function inWords(findings: Findings): string {
  const { cpu, memory, workingDirectory } = findings;
  const facts = [
    ['relic-train', `v${findings.version}`],
    ['node', findings.node],
    ['platform', `${findings.platform}, ${findings.libc}`],
    ['cpu', `${cpu.model}, ${cpu.threads} thread(s) used: ${cpu.reason}`],
    ['memory', `${bytes(memory.totalBytes)}, ${bytes(memory.freeBytes)} free`],
    ['ranks', `${findings.ranks} launched`],
    ...(findings.isa === null ? [] : [['RELIC_ISA', findings.isa]]),
    [
      'directory',
      `${workingDirectory.path}: ${workingDirectory.writable === true ? 'writable' : workingDirectory.writable}`,
    ],
  ];
  const engines = findings.engines.map(({ name, available, reason }) => [
    name,
    available ? 'available' : 'not available',
    reason,
  ]);
  const binaries = findings.nativeBinaries.map(({ path, origin, outcome }) => [path, origin, outcome]);
  const sections = [
    table(facts),
    `engines, best first:\n${table(engines, '  ')}`,
    `binaries of the native engine, in the order in which they are tried:\n${table(binaries, '  ')}`,
  ];
  return sections.join('\n\n');
}

/** Every place where a binary of the native engine may be, and what was found there. */
async function nativeBinaries(): Promise<{ path: string; origin: string; outcome: string }[]> {
  const { loaded, failures, absent } = await findBinary();
  return candidates().map(({ path, origin }) => {
    const failure = failures.find((each) => each.path === path);
    if (failure !== undefined) return { path, origin, outcome: `cannot be used: ${failure.reason}` };
    if (loaded?.path === path) return { path, origin, outcome: `loaded, with ${kernelsOf(loaded)}` };
    return { path, origin, outcome: absent.some((each) => each.path === path) ? 'not there' : 'not tried' };
  });
}

/** The C library, on which prebuilt engines depend. */
function libc(): string {
  if (process.platform !== 'linux') return 'no glibc';
  const version = glibcVersion();
  return version === undefined ? 'musl' : `glibc ${version}`;
}

function writable(path: string): true | string {
  try {
    assertWritable(path);
    return true;
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : String(error);
  }
}
