/** What a stage is, and what the pipeline hands to it. */
import type { CsvTable } from '../artifacts/csv.ts';
import type { StageDirectories } from '../artifacts/run-directory.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Group } from '../distributed/group.ts';
import type { EngineInfo, EngineModel } from '../engine/engine.ts';
import type { EventLog } from '../log.ts';
import type { TrainState } from '../train/state.ts';
import type { LastCheckpoint, RunMark } from './last-checkpoint.ts';
import type { Loaders } from './loaders.ts';

export type StageName = 'pretrain' | 'finetune' | 'evaluate';

/** Where a stage of this run writes. */
export interface StagePlace extends StageDirectories {
  readonly stage: StageName;
  readonly runId: string;
}

/** How far training is; told at every step. */
export interface Progress {
  readonly stage: StageName;
  /** From 1. */
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
  readonly steps: number;
  /** Running mean over the epoch. */
  readonly loss: number;
  readonly pairsPerSecond: number;
  /** To the end of the stage if no early stopping happens. */
  readonly etaSeconds: number;
  /** Part of the time of this process that training waited for other ranks, from 0 to 1; undefined without any. */
  readonly collectiveShare?: number | undefined;
}

/** What all stages of a run share. */
export interface Run {
  readonly loaded: LoadedConfig;
  readonly engine: EngineInfo;
  /** One instance through all stages. */
  readonly model: EngineModel;
  readonly loaders: Loaders;
  /** Data-parallel ranks: the processes of `group`, or those that one process simulates. */
  readonly ranks: number;
  /** The processes of the run. Only the first of them writes. */
  readonly group: Group;
  /** Of the selected stages. */
  readonly places: ReadonlyMap<StageName, StagePlace>;
  /** What its checkpoints are known by. */
  readonly mark: Pick<RunMark, 'settingsHash' | 'dataHash'>;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface StageContext extends Run {
  readonly place: StagePlace;
  readonly log: EventLog;
  readonly csv: CsvTable;
  /** Where an earlier process left this stage. */
  readonly last?: Continuation | undefined;
  /** Paths of the files the stage has written, for its manifest; the stage adds to it. */
  readonly written: Set<string>;
}

/** Where an earlier process left a training stage. */
export interface Continuation {
  readonly state: TrainState;
  /** With weights and moments; null on ranks that get them from rank 0. */
  readonly checkpoint: LastCheckpoint | null;
}

/** What a stage leaves behind. */
export interface StageResult extends StagePlace {
  readonly csvPath: string;
  /** Written by a training stage, read by an evaluation. */
  readonly checkpointPath: string;
  /** Of an evaluation; null where undefined. */
  readonly metrics?: ReadonlyMap<string, number | null>;
}

export interface Stage {
  /** Whether it has a directory for models. */
  readonly savesModel: boolean;
  readonly csvName: string;
  csvColumns(config: Config): readonly string[];
  run(context: StageContext): Promise<StageResult>;
}
