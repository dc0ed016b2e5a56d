/** The dry run: what a run would check is checked, what it would do is told; nothing is written, nothing trained. */
import { join } from 'node:path';
import { CsvFile } from '../artifacts/csv.ts';
import { assertCreatable } from '../artifacts/files.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, RunConfig } from '../config/schema.ts';
import { describeSplits, type SplitReport } from '../data/report.ts';
import { type PairFiles, SPLITS } from '../data/splits.ts';
import { programCost } from '../engine/cost.ts';
import type { EngineInfo } from '../engine/engine.ts';
import { layoutOfSequences } from '../engine/layout.ts';
import { selectEngine } from '../engine/select.ts';
import type { Problem } from '../errors.ts';
import { type Program, parameterCount } from '../model/program.ts';
import { type EmbeddingPlan, planEmbeddings } from './embedding-plan.ts';
import { countBatches, type LoaderCounts } from './loaders.ts';
import { stagePlaces, timestamp } from './places.ts';
import { checkedProgram, effectiveRanks } from './preflight.ts';
import { STAGES } from './registry.ts';
import { simulatedFiles } from './simulated-files.ts';
import { readSplits } from './splits.ts';
import type { StagePlace } from './stage.ts';

export interface PlannedStage extends StagePlace {
  readonly trains: boolean;
  readonly csvPath: string;
}

/** Floating-point operations, a multiply-add counted as two; estimated from up to {@link SAMPLED_BATCHES} batches. */
export interface PlannedCost {
  /** One optimizer step of all ranks. */
  readonly trainStep: number;
  /** The whole run if no early stopping happens, validation and test included. */
  readonly run: number;
}

export interface Plan {
  readonly mode: RunConfig['mode'];
  readonly configHash: string;
  readonly engine: EngineInfo;
  readonly ranks: number;
  readonly stages: readonly PlannedStage[];
  readonly model: { readonly name: string; readonly parameters: number };
  readonly splits: SplitReport;
  /** Of one epoch; train batches are those of one rank, and so its steps. */
  readonly batches: LoaderCounts;
  readonly epochs: number;
  /** Optimizer steps of each training stage if no early stopping happens. */
  readonly stepsPerStage: number;
  readonly flops: PlannedCost;
  readonly embeddings: EmbeddingPlan;
  /** Files that the run would simulate first. */
  readonly simulated: readonly string[];
  /** The weights of eval_only, read and found to fit. */
  readonly checkpointPath: string | null;
  readonly warnings: readonly Problem[];
}

export interface PlanOptions {
  readonly simulatedRanks?: number | undefined;
  /** As for a run. */
  readonly runId?: string | undefined;
  readonly now?: () => Date;
}

const SAMPLED_BATCHES = 32;

/** @throws RelicError for everything that would stop the run. */
export async function planPipeline(loaded: LoadedConfig, options: PlanOptions = {}): Promise<Plan> {
  const { config, hash, warnings } = loaded;
  const { run_config: run, training_config: training } = config;
  const program = checkedProgram(loaded);
  const { info: engine } = await selectEngine(config.device_config);
  const ranks = effectiveRanks(loaded, options.simulatedRanks);
  const stages = Array.from(
    stagePlaces(config, options.runId ?? timestamp((options.now ?? (() => new Date()))())).values(),
    (place) => plannedStage(place, config),
  );

  const { missing, different } = simulatedFiles(config.data_config);
  for (const path of missing.keys()) assertCreatable(path);
  const files = readSplits(config, missing);
  const { plan: embeddings, lengthOf } = planEmbeddings(loaded, files, missing);
  if (!embeddings.ready) assertCreatable(config.data_config.embeddings.store_dir);
  const maxLength = config.data_config.max_sequence_length;
  const samples = {
    train: files.train.labels.length,
    valid: files.valid.labels.length,
    test: files.test.labels.length,
  };
  const batches = countBatches(samples, config, ranks);
  const usedLength = (protein: string) => Math.min(lengthOf(protein) ?? 0, maxLength);
  const trainingStages = stages.filter(({ trains }) => trains).length;
  return {
    mode: run.mode,
    configHash: hash,
    engine,
    ranks,
    stages,
    model: { name: program.name, parameters: parameterCount(program) },
    splits: describeSplits(files, { lengthOf, maxLength }),
    batches,
    epochs: training.epochs,
    stepsPerStage: batches.train.batches * training.epochs,
    flops: estimateCost(program, files, usedLength, training, ranks, trainingStages, stages.length > trainingStages),
    embeddings,
    simulated: [...missing.keys()],
    checkpointPath: run.mode === 'eval_only' ? run.load_checkpoint_path : null,
    warnings: [
      ...warnings,
      ...different.map((where) => ({ where, message: 'differs from what the current settings would simulate' })),
    ],
  };
}

/** Checks that the stage could write, and that a CSV file of an earlier run has the same columns. */
function plannedStage(place: StagePlace, config: Config): PlannedStage {
  const { savesModel, csvName, csvColumns } = STAGES[place.stage];
  for (const directory of savesModel ? [place.logDir, place.modelDir] : [place.logDir]) assertCreatable(directory);
  const csv = new CsvFile(join(place.logDir, csvName), csvColumns(config));
  return { ...place, trains: savesModel, csvPath: csv.path };
}

function estimateCost(
  program: Program,
  files: PairFiles,
  usedLength: (protein: string) => number,
  { epochs, batch_size: batchSize }: Config['training_config'],
  ranks: number,
  trainingStages: number,
  evaluates: boolean,
): PlannedCost {
  const perPair = (split: (typeof SPLITS)[number]) => {
    const file = files[split];
    const lengths = Int32Array.from(file.proteins, usedLength);
    const pairs = file.labels.length;
    const sampled = Math.min(SAMPLED_BATCHES, Math.ceil(pairs / batchSize));
    let [forward, backward, counted] = [0, 0, 0];
    for (let i = 0; i < sampled; i++) {
      const from = Math.floor((i * pairs) / sampled);
      const to = Math.min(from + batchSize, pairs);
      const cost = programCost(program, layoutOfSequences([file.a.slice(from, to), file.b.slice(from, to)], lengths));
      forward += cost.forwardFlops;
      backward += cost.backwardFlops;
      counted += to - from;
    }
    return { forward: forward / counted, backward: backward / counted, pairs };
  };
  const [train, valid, test] = SPLITS.map(perPair);
  const trainPair = train.forward + train.backward;
  const epoch = trainPair * train.pairs + valid.forward * valid.pairs;
  return {
    trainStep: trainPair * Math.min(batchSize * ranks, train.pairs),
    run: trainingStages * epochs * epoch + (evaluates ? test.forward * test.pairs : 0),
  };
}
