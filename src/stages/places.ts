/** Run ids and directories of the selected stages (contract 1.3). */
import { type StageDirectories, stageDirectories } from '../artifacts/run-directory.ts';
import type { Config } from '../config/schema.ts';
import { MODE_STAGES } from './registry.ts';
import type { StageName, StagePlace } from './stage.ts';

const RUN_ID_KEYS = {
  pretrain: 'pretrain_run_id',
  finetune: 'finetune_run_id',
  evaluate: 'eval_run_id',
} as const satisfies Record<StageName, string>;

/** Paths are relative to the working directory, as log lines show them. @param runId names the stages without an id. */
export function stagePlaces(config: Config, runId: string): Map<StageName, StagePlace> {
  return new Map(
    MODE_STAGES[config.run_config.mode].map((stage) => {
      return [stage, placeOf(config.model_config.model, stage, configuredRunId(config, stage) ?? runId)];
    }),
  );
}

/** Throws RELIC_USAGE for a run id that is not the name of a directory. */
export function placeOf(model: string, stage: StageName, runId: string): StagePlace {
  const directories: StageDirectories = stageDirectories({ root: '', model, stage, runId });
  return { stage, runId, ...directories };
}

/** Null where the config leaves it open. */
export function configuredRunId({ run_config: run }: Config, stage: StageName): string | null {
  return run[RUN_ID_KEYS[stage]];
}

/** Local time as YYYYmmdd_HHMMSS. */
export function timestamp(at: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const date = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`;
  return `${date}_${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}`;
}
