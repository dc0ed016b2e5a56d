import { cpus, freemem, totalmem } from 'node:os';
import { assertWritable } from '../../artifacts/files.ts';
import { glibcVersion } from '../../engine/native/libc.ts';
import { candidates, findBinary, kernelsOf } from '../../engine/native/loader.ts';
import { encoderCacheHere, listEngines, threadsHere } from '../../engine/select.ts';
import type { ThreadChoice } from '../../engine/threads.ts';
import { readEnv } from '../../env.ts';
import { packageFacts } from '../../stages/package-facts.ts';
import { command } from '../command.ts';
import { RANK_OPTIONS, rankFlags } from '../rank-options.ts';
import { reportRank } from '../rank-report.ts';
import { bytes, table } from '../table.ts';

export const doctor = command({
  details: [
    'Shows what this machine offers to a run: which engines there are and why others are not, the CPU, the memory, and',
    'whether files can be written in the working directory, where logs/ and models/ go. Binaries of the native engine',
    'are tried in the order shown, each in a process of its own.',
    '--ranks shows instead, under mpirun, srun or torchrun, what each of their processes sees: who started it, its rank,',
    'where the ranks meet, its CPUs and threads, and what contradicts this.',
  ].join('\n'),
  examples: ['relic-train doctor', 'relic-train doctor --json', 'mpirun -n 2 relic-train doctor --ranks'],
  options: {
    json: { type: 'flag', description: 'print JSON' },
    ranks: { type: 'flag', description: 'show which rank this process would be; a line a fact' },
    ...RANK_OPTIONS,
  },
  async run(values, output) {
    const flags = rankFlags(values);
    if (values.ranks) {
      const { lines, error } = reportRank(flags);
      for (const line of lines) output.stdout(`${line}\n`);
      if (error !== null) throw error;
      return;
    }
    const findings = {
      version: packageFacts().version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
      libc: libc(),
      cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', ...threadsHere(null), ...(await kernels()) },
      memory: { totalBytes: totalmem(), freeBytes: freemem(), encoderCacheBytes: encoderCacheHere(null) },
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
  readonly cpu: ThreadChoice & Kernels & { readonly model: string };
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number; readonly encoderCacheBytes: number };
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
    ['kernels', kernelsInWords(cpu, findings.isa)],
    [
      'memory',
      `${bytes(memory.totalBytes)}, ${bytes(memory.freeBytes)} free; an evaluation keeps up to ${bytes(memory.encoderCacheBytes)} of encoder outputs`,
    ],
    ['ranks', `${findings.ranks} launched`],
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

interface Kernels {
  /** Of the native engine, as a run would use them; null where none can run, or not those that RELIC_ISA names. */
  readonly kernels: string | null;
  /** All that run here, best first. */
  readonly allKernels: readonly string[];
  readonly precisions: readonly string[];
}

async function kernels(): Promise<Kernels> {
  const { loaded } = await findBinary();
  const allKernels = loaded?.isas ?? [];
  const forced = readEnv().isa;
  const rounding = loaded?.bf16Isas ?? [];
  const chosen = forced ?? allKernels[0] ?? null;
  const runs = chosen !== null && [...allKernels, ...rounding].includes(chosen);
  const bf16 = runs && (forced === null ? rounding.length > 0 : rounding.includes(forced));
  return { kernels: runs ? chosen : null, allKernels, precisions: bf16 ? ['fp32', 'bf16'] : ['fp32'] };
}

function kernelsInWords({ kernels, allKernels, precisions }: Kernels, isa: string | null): string {
  const why = isa === null ? 'the best here' : `by RELIC_ISA=${isa}`;
  if (kernels !== null) return `${kernels}, ${why}; cpu_precision ${precisions.join(' or ')}`;
  if (allKernels.length === 0) return 'none: the native engine is not here';
  return `none: RELIC_ISA=${isa}, expected ${allKernels.join(' or ')}; runs on the native engine will fail`;
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
