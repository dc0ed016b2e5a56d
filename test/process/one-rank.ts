/** One rank that trains on the batches of several, put together: what they have to learn when nothing is drawn by rank. */
import { join } from 'node:path';
import { pythonRepr } from '../../src/artifacts/csv.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Batch } from '../../src/engine/engine.ts';
import { selectEngine } from '../../src/engine/select.ts';
import { nullLog } from '../../src/log.ts';
import { metricDirection } from '../../src/metrics/registry.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { createLoaders } from '../../src/stages/loaders.ts';
import { checkedProgram } from '../../src/stages/preflight.ts';
import { prepareData } from '../../src/stages/prepare.ts';
import { dropoutKeys, hardExamplesOf, optimizerSettings, scheduleOf } from '../../src/stages/train-settings.ts';
import { EarlyStopping } from '../../src/train/early-stopping.ts';
import { evaluate } from '../../src/train/evaluate.ts';
import { initialState } from '../../src/train/initial-state.ts';
import { createStrategy } from '../../src/train/strategies/registry.ts';
import { train } from '../../src/train/trainer.ts';

/** The pairs of all ranks as those of one. */
function merged(shards: readonly Batch[]): Batch {
  return {
    proteinA: Int32Array.from(shards.flatMap(({ proteinA }) => [...proteinA])),
    proteinB: Int32Array.from(shards.flatMap(({ proteinB }) => [...proteinB])),
    labels: Float32Array.from(shards.flatMap(({ labels }) => [...labels])),
  };
}

/**
 * Trains the pretraining stage of `config.yaml` in `directory`, without a file.
 * @param ranks whose batches are put together. @returns what its CSV file would have, row by row and by column
 */
export async function trainMerged(
  directory: string,
  set: readonly string[],
  ranks: number,
): Promise<Record<string, string>[]> {
  const home = process.cwd();
  process.chdir(directory);
  const loaded = loadConfig(join(directory, 'config.yaml'), { set });
  const { config, compat } = loaded;
  const { training_config: training } = config;
  const program = checkedProgram(loaded);
  const { dataset, store } = prepareData(loaded, nullLog());
  const model = (await selectEngine(config.device_config)).createModel(program, store);
  const rows: Record<string, string>[] = [];
  try {
    const generator = new TorchGenerator(config.run_config.seed);
    model.load(initialState(program, generator));
    const loaders = createLoaders(dataset, config, ranks, generator, store);
    const data = loaders.train;
    await train({
      model,
      data: {
        ...data,
        *epoch(epoch, firstStep) {
          for (const shards of data.epoch(epoch, firstStep)) yield [merged(shards)];
        },
      },
      validate: () =>
        evaluate({
          model,
          batches: loaders.evaluation('valid'),
          metrics: training.logging.validation_metrics,
          threshold: 0.5,
          orderAveraged: false,
          lossByBatch: compat.validationLossByBatch,
          undefinedAsZero: compat.singleClassMetricsZero,
        }),
      epochs: training.epochs,
      strategy: createStrategy(
        training.strategy,
        program.parameters.map(({ name }) => name),
      ),
      optimizer: optimizerSettings(config),
      schedule: scheduleOf(config, data.steps),
      hardExamples: hardExamplesOf(config, compat),
      dropoutKeys: dropoutKeys(config, compat, 1, 'pretrain'),
      restartOnUnfreeze: compat.restartOnUnfreeze,
      lossOfRankZero: compat.trainLossOfRankZero,
      monitor: training.monitor_metric,
      earlyStopping: new EarlyStopping(metricDirection(training.monitor_metric), training.early_stopping_patience),
      heartbeatEvery: 0,
      observer(event) {
        if (event.type !== 'epochDone') return;
        const { trainLoss, validation, lr } = event;
        const metrics = Array.from(validation.metrics, ([name, value]) => [`Val ${name}`, pythonRepr(Number(value))]);
        const losses = { 'Train Loss': pythonRepr(trainLoss), 'Val Loss': pythonRepr(validation.loss) };
        rows.push({ ...losses, ...Object.fromEntries(metrics), 'Learning Rate': pythonRepr(lr) });
      },
    });
  } finally {
    model.dispose();
    store.close();
    process.chdir(home);
  }
  return rows;
}
