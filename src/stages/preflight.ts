/** What is checked before any data is read, by a run and by its plan alike. */
import type { LoadedConfig } from '../config/load.ts';
import { readEnv } from '../env.ts';
import { RelicError } from '../errors.ts';
import type { Program } from '../model/program.ts';
import { buildModel } from '../model/registry.ts';
import { createStrategy } from '../train/strategies/registry.ts';
import { loadState } from './checkpoints.ts';

/** @throws RELIC_RANKS when a launcher started several processes, and nothing joins them. */
export function refuseSeveralProcesses(worldSize = readEnv().worldSize): void {
  if (worldSize <= 1) return;
  throw new RelicError('RELIC_RANKS', 'several processes were started, and each would be a run of its own', {
    expected: 'one process',
    received: `${worldSize} processes from the launcher (mpirun, srun or torchrun)`,
    fix: 'start one process',
  });
}

/**
 * Without `ddp_enabled` each process of RELIC trains by itself, and all write the same files.
 * @throws RELIC_RANKS when several processes were started for such a config
 */
export function requireDdp({ config }: LoadedConfig, processes: number): void {
  if (processes === 1 || config.device_config.ddp_enabled) return;
  throw new RelicError('RELIC_RANKS', `${processes} processes were started for a config that trains in one`, {
    where: 'device_config.ddp_enabled',
    expected: 'true',
    received: 'false',
    fix: 'add --set device_config.ddp_enabled=true, or start one process',
  });
}

/**
 * The model of a config, with what its training and its evaluation need of it checked: names of parameters, and the
 * checkpoint of eval_only.
 *
 * @throws RELIC_MODEL_UNKNOWN, RELIC_CONFIG_INVALID, RELIC_CHECKPOINT_*
 */
export function checkedProgram({ config }: LoadedConfig): Program {
  const { model_config: model, training_config: training, run_config: run } = config;
  const { pos_weight: posWeight, label_smoothing: labelSmoothing } = training.loss;
  const program = buildModel(model.model, model, { posWeight, labelSmoothing });
  createStrategy(
    training.strategy,
    program.parameters.map(({ name }) => name),
  );
  if (run.mode === 'eval_only') loadState(run.load_checkpoint_path ?? '', program);
  return program;
}

/** Data-parallel ranks that one process simulates; without `ddp_enabled` there is one, as in RELIC. */
export function effectiveRanks({ config }: LoadedConfig, simulatedRanks: number | undefined): number {
  return config.device_config.ddp_enabled ? (simulatedRanks ?? 1) : 1;
}
