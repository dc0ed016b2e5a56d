import { writeConsole } from '../../artifacts/console.ts';
import { type LoadedConfig, loadConfig } from '../../config/load.ts';
import { discoverRank } from '../../distributed/discovery.ts';
import { readEnv } from '../../env.ts';
import { RelicError } from '../../errors.ts';
import { runPipeline } from '../../stages/pipeline.ts';
import { planPipeline } from '../../stages/plan.ts';
import { refuseSeveralProcesses } from '../../stages/preflight.ts';
import { estimateRun } from '../calibrate.ts';
import { command, type Output } from '../command.ts';
import { CONFIG_OPTIONS, warn } from '../config.ts';
import { planInWords } from '../plan.ts';
import { ProgressLine, wantsProgress } from '../progress.ts';
import { RANK_OPTIONS, rankFlags } from '../rank-options.ts';
import { stoppable } from '../signals.ts';

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
  options: {
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
  },
  async run(values, output) {
    const place = discoverRank(rankFlags(values));
    const loaded = loadConfig(values.config, { set: values.set });
    // Otherwise the run's log tells them, on the terminal too.
    const unlogged = values['dry-run'] || loaded.compat.originalLogLinesOnly;
    if (unlogged) for (const warning of loaded.warnings) warn(warning, output);
    // RELIC's own console line, which scripts wait for.
    if (place.rank === 0) output.stderr(`INFO:__main__:Loaded config: ${values.config}\n`);
    const simulatedRanks = values['simulate-ranks'];
    requireDdp(loaded, simulatedRanks);
    refuseSeveralProcesses(place.size);
    if (values['dry-run']) return dryRun(loaded, simulatedRanks, values, output);
    const progress = wantsProgress(process.stderr, readEnv().ci, place.size)
      ? new ProgressLine(process.stderr)
      : undefined;
    try {
      await stoppable((signal) =>
        runPipeline(loaded, {
          simulatedRanks,
          signal,
          resume: values.resume,
          runId: values['run-id'],
          onProgress: progress && ((state) => progress.update(state)),
          log: (line) => {
            progress?.clear();
            writeConsole(line);
          },
        }),
      );
    } finally {
      progress?.clear();
    }
  },
});

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

function requireDdp({ config }: LoadedConfig, ranks: number | undefined): void {
  if (ranks === undefined || ranks === 1 || config.device_config.ddp_enabled) return;
  throw new RelicError('RELIC_USAGE', '--simulate-ranks has no effect on this config', {
    where: 'device_config.ddp_enabled',
    expected: 'true',
    received: 'false',
    fix: 'add --set device_config.ddp_enabled=true',
  });
}
