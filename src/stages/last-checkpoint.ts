/**
 * `last/`: everything a training stage needs to go on in a later process. `model.pth` has the weights,
 * `optimizer.safetensors` the moments, `training.json` the rest, `best_model.pth` the best weights so far.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpointDirectory, writeCheckpointDirectory } from '../artifacts/checkpoint/directory.ts';
import { readSafetensors, writeSafetensors } from '../artifacts/checkpoint/safetensors.ts';
import { type NamedTensor, toFloat32 } from '../artifacts/checkpoint/tensors.ts';
import { ioError, writeFileAtomic } from '../artifacts/files.ts';
import { keepBest, LAST_CHECKPOINT } from '../artifacts/run-directory.ts';
import type { EngineInfo, OptimizerSettings, OptimizerState, ParameterMoments, State } from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import type { Program } from '../model/program.ts';
import type { TrainState } from '../train/state.ts';
import { loadState, saveState } from './checkpoints.ts';
import { packageFacts } from './package-facts.ts';
import type { StageContext, StagePlace } from './stage.ts';

const WEIGHTS = 'model.pth';
const OPTIMIZER = 'optimizer.safetensors';
const TRAINING = 'training.json';
const LOGS = ['log.log', 'events.jsonl'] as const;

/** PyTorch's names of the moments. */
const MOMENT_NAMES = {
  adamw: { first: 'exp_avg', second: 'exp_avg_sq' },
  sgd: { first: 'momentum_buffer', second: undefined },
} as const;

/** What must be equal for a checkpoint to be one of this run. */
export interface RunMark {
  readonly stage: string;
  readonly runId: string;
  /** Of the settings that decide results; see resume-config.ts. */
  readonly settingsHash: string;
  readonly dataHash: string;
}

/** What made it; another one gives other sums in their last digits. */
export interface EngineMark {
  readonly name: string;
  readonly device: string;
  readonly threads: number;
  readonly isa: string | null;
  readonly version: string;
}

/** A checkpoint of a training stage, checked to be whole and of this run. */
export interface LastCheckpoint {
  readonly path: string;
  /** Why the newest one could not be used, when this is the one before it. */
  readonly fallback?: string | undefined;
  readonly state: TrainState;
  readonly engine: EngineMark;
  /** Rows of the stage's CSV file. */
  readonly csvRows: number;
  /** Bytes of the stage's logs, by file. */
  readonly logBytes: Readonly<Record<string, number>>;
  /** Paths of the files the stage had written. */
  readonly written: readonly string[];
  weights(program: Program): State;
  optimizer(type: OptimizerSettings['type']): OptimizerState;
}

export function engineMark({ name, device, threads, isa }: EngineInfo): EngineMark {
  return { name, device, threads, isa: isa ?? null, version: packageFacts().version };
}

export function lastCheckpointPath({ modelDir }: StagePlace): string {
  return join(modelDir, LAST_CHECKPOINT);
}

/** Writes `last/` of the stage and returns its path. @throws RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO */
export function saveLast(context: StageContext, state: TrainState): string {
  const { place, model, csv, loaded, engine, mark, written } = context;
  const path = lastCheckpointPath(place);
  const { type } = loaded.config.training_config.optimizer;
  const { order, ...plain } = state;
  const training = {
    mark: { ...mark, stage: place.stage, runId: place.runId },
    state: { ...plain, order: { ...order, words: Buffer.from(order.words.buffer).toString('base64') } },
    engine: engineMark(engine),
    csvRows: csv.rows,
    logBytes: Object.fromEntries(LOGS.map((name) => [name, sizeOf(join(place.logDir, name))])),
    written: [...written],
  };
  writeCheckpointDirectory(path, (directory) => {
    saveState(join(directory, WEIGHTS), model.program, model.state());
    writeSafetensors(join(directory, OPTIMIZER), momentTensors(model.optimizerState(), model.program, type));
    writeFileAtomic(join(directory, TRAINING), `${JSON.stringify(training, null, 2)}\n`);
    keepBest(place.modelDir, directory);
  });
  return path;
}

/**
 * The newest complete checkpoint of the stage; undefined when there is none.
 * @throws RELIC_CHECKPOINT_INVALID when it is damaged, RELIC_CHECKPOINT_MISMATCH when it is of another run
 */
export function openLast(place: StagePlace, mark: Omit<RunMark, 'stage' | 'runId'>): LastCheckpoint | undefined {
  const directory = openCheckpointDirectory(lastCheckpointPath(place));
  if (directory === undefined) return undefined;
  const { path, fallback } = directory;
  // Every byte was compared with its hash: what is wrong here was written wrong.
  const { mark: found, state, ...rest } = JSON.parse(readText(join(path, TRAINING)));
  assertSameRun(path, { ...mark, stage: place.stage, runId: place.runId }, found);
  const { order, ...plain } = state;
  const bytes = Uint8Array.from(Buffer.from(order.words, 'base64'));
  return {
    ...rest,
    path,
    fallback,
    state: { ...plain, order: { ...order, words: new Int32Array(bytes.buffer) } },
    weights: (program) => loadState(join(path, WEIGHTS), program),
    optimizer: (type) => readMoments(join(path, OPTIMIZER), type),
  };
}

const MARK_WORDS: Readonly<Record<keyof RunMark, string>> = {
  stage: 'stage',
  runId: 'run id',
  settingsHash: 'settings',
  dataHash: 'pairs or embeddings',
};

function assertSameRun(path: string, expected: RunMark, found: Partial<RunMark> | undefined): void {
  const keys = Object.keys(MARK_WORDS) as (keyof RunMark)[];
  const problems = keys
    .filter((key) => found?.[key] !== expected[key])
    .map((key) => ({ where: MARK_WORDS[key], message: `expected ${expected[key]}, received ${found?.[key]}` }));
  if (problems.length === 0) return;
  throw new RelicError('RELIC_CHECKPOINT_MISMATCH', 'the checkpoint is of another run', {
    where: path,
    problems,
    fix: 'bring back the data and settings it was made with, or start anew without --resume',
  });
}

function* momentTensors(
  state: OptimizerState,
  program: Program,
  type: OptimizerSettings['type'],
): Generator<NamedTensor> {
  const shapes = new Map(program.parameters.map(({ name, shape }) => [name, shape]));
  const names = MOMENT_NAMES[type];
  for (const [name, { steps, first, second }] of state) {
    const shape = shapes.get(name) ?? [];
    yield { name: `${name}.step`, shape: [], dtype: 'int64', data: BigInt64Array.of(BigInt(steps)) };
    yield { name: `${name}.${names.first}`, shape, dtype: 'float32', data: first };
    if (names.second !== undefined) yield { name: `${name}.${names.second}`, shape, dtype: 'float32', data: second };
  }
}

function readMoments(path: string, type: OptimizerSettings['type']): OptimizerState {
  const { tensors } = readSafetensors(path);
  const names = MOMENT_NAMES[type];
  const values = (name: string) => {
    const tensor = tensors.get(name);
    return tensor === undefined ? new Float32Array(0) : toFloat32(tensor);
  };
  const state = new Map<string, ParameterMoments>();
  for (const { name, data } of tensors.values()) {
    if (!name.endsWith('.step')) continue;
    const parameter = name.slice(0, -'.step'.length);
    state.set(parameter, {
      steps: Number(data[0]),
      first: values(`${parameter}.${names.first}`),
      second: values(`${parameter}.${names.second}`),
    });
  }
  return state;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw ioError(error, path, 'read file');
  }
}

/** A log that was moved away is no reason to lose a training. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
