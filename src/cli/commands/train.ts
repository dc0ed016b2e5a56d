import { writeConsole } from '../../artifacts/console.ts';
import { type LoadedConfig, loadConfig } from '../../config/load.ts';
import { discoverRank } from '../../distributed/discovery.ts';
import { joinRanks } from '../../distributed/join.ts';
import type { RankPlace } from '../../distributed/place.ts';
import { readEnv } from '../../env.ts';
import { RelicError } from '../../errors.ts';
import { runPipeline } from '../../stages/pipeline.ts';
import { planPipeline } from '../../stages/plan.ts';
import { requireDdp } from '../../stages/preflight.ts';
import { isOnAllRanks } from '../../stages/together.ts';
import { estimateRun } from '../calibrate.ts';
import { command, type Output } from '../command.ts';
import { CONFIG_OPTIONS, warn } from '../config.ts';
import type { Options, Values } from '../options.ts';
import { planInWords } from '../plan.ts';
import { ProgressLine, wantsProgress } from '../progress.ts';
import { RANK_OPTIONS, rankFlags } from '../rank-options.ts';
import { stoppable } from '../signals.ts';

const OPTIONS = {
  ...CONFIG_OPTIONS,
  'dry-run': { type: 'flag', description: 'check everything, print the plan and its cost, write nothing' },
  resume: {
    type: 'text',
    value: 'auto|DIR',
    description: 'go on with the run of that directory; auto: the newest one of this config, or a new one',
  },
  'run-id': { type: 'text', value: 'ID', description: 'run id of the stages to which the config gives none' },
  'simulate-ranks': {
    type: 'integer',
    value: 'N',
    minimum: 1,
    description: 'run N data-parallel ranks in this process, for checking; needs device_config.ddp_enabled',
  },
  ...RANK_OPTIONS,
} as const satisfies Options;

export const train = command({
  details: [
    'Runs the stages that run_config.mode selects: pretrain, finetune, evaluate. Log lines go to stderr and to',
    'logs/MODEL/STAGE/RUN_ID/, weights to models/. Paths in the config are relative to the working directory.',
    'Ctrl-C, SIGTERM or SIGUSR1 stops after the step and saves last/; a second one stops at once. Files are whole',
    'either way, and --resume goes on with the run.',
  ].join('\n'),
  examples: [
    'relic-train --config configs/demo.yaml',
    'relic-train --config configs/v3.yaml --set training_config.epochs=5 --set run_config.seed=1',
    'relic-train --config configs/v3.yaml --dry-run',
    'relic-train --config configs/v3.yaml --resume auto',
    'relic-train --config configs/v3.yaml --resume models/v3/pretrain/20261124_013257',
  ],
  options: OPTIONS,
  async run(values, output) {
    const place = discoverRank(rankFlags(values));
    try {
      await trainAs(place, values, output);
    } catch (error) {
      if (place.rank === 0 || !(error instanceof RelicError)) throw error;
      const toldElsewhere = isOnAllRanks(error);
      throw new RelicError(error.code, `rank ${place.rank}: ${error.message}`, { cause: error, toldElsewhere });
    }
  },
});

type TrainValues = Values<typeof OPTIONS>;

async function trainAs(place: RankPlace, values: TrainValues, output: Output): Promise<void> {
  const first = place.rank === 0;
  const loaded = loadConfig(values.config, { set: values.set });
  // Otherwise the run's log tells them, on the terminal too.
  const unlogged = first && (values['dry-run'] || loaded.compat.originalLogLinesOnly);
  if (unlogged) for (const warning of loaded.warnings) warn(warning, output);
  // RELIC's own console line, which scripts wait for.
  if (first) output.stderr(`INFO:__main__:Loaded config: ${values.config}\n`);
  requireDdp(loaded, place.size);
  const simulatedRanks = ranksToSimulate(loaded, values['simulate-ranks'], place);
  if (values['dry-run']) return first ? dryRun(loaded, simulatedRanks ?? place.size, values, output) : undefined;
  const progress = wantsProgress(process.stderr, readEnv().ci, place.rank)
    ? new ProgressLine(process.stderr)
    : undefined;
  const log = (line: string) => {
    progress?.clear();
    writeConsole(line);
  };
  try {
    await stoppable((signal) =>
      runPipeline(loaded, {
        simulatedRanks,
        signal,
        resume: values.resume,
        runId: values['run-id'],
        join: joinRanks(place, {
          timeoutSeconds: values['rdzv-timeout'],
          warn: (message) => log(`relic-train: warning: ${message}\n`),
        }),
        onProgress: progress && ((state) => progress.update(state)),
        log,
      }),
    );
  } finally {
    progress?.clear();
  }
}

async function dryRun(
  loaded: LoadedConfig,
  simulatedRanks: number | undefined,
  { resume, 'run-id': runId }: { readonly resume?: string | undefined; readonly 'run-id'?: string | undefined },
  output: Output,
): Promise<void> {
  if (resume !== undefined) warn({ where: '--resume', message: 'the plan is that of the whole run' }, output);
  const plan = await planPipeline(loaded, { simulatedRanks, runId });
  for (const warning of plan.warnings.slice(loaded.warnings.length)) warn(warning, output);
  output.stdout(`${planInWords(plan, await estimateRun(plan, loaded.config))}\n`);
}

function ranksToSimulate({ config }: LoadedConfig, ranks: number | undefined, { size }: RankPlace): number | undefined {
  if (ranks === undefined) return undefined;
  if (size > 1) {
    throw new RelicError('RELIC_USAGE', '--simulate-ranks is for one process', {
      received: `${size} processes`,
      fix: 'leave it out, or start one process',
    });
  }
  if (ranks === 1 || config.device_config.ddp_enabled) return ranks;
  throw new RelicError('RELIC_USAGE', '--simulate-ranks has no effect on this config', {
    where: 'device_config.ddp_enabled',
    expected: 'true',
    received: 'false',
    fix: 'add --set device_config.ddp_enabled=true',
  });
}
