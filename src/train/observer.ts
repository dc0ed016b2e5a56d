/** What the trainer tells while it runs, in order. Epochs and steps are counted from 1, as logs show them. */
import type { Evaluation } from './evaluate.ts';

export interface EpochStart {
  readonly type: 'epochStart';
  readonly epoch: number;
  readonly totalEpochs: number;
}

/** Training goes on where an earlier process left it; stands in place of the running epoch's start. */
export interface Resumed {
  readonly type: 'resumed';
  readonly epoch: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
  /** Steps of an epoch. */
  readonly steps: number;
}

/** One optimizer step. */
export interface StepDone {
  readonly type: 'step';
  readonly epoch: number;
  readonly step: number;
  /** Steps of the epoch. */
  readonly steps: number;
  /** Train loss since the epoch began. */
  readonly runningLoss: number;
  /** Of the next step: read after the schedule has moved. */
  readonly lr: number;
  /** Pairs of this step, over all ranks. */
  readonly pairs: number;
  /** Whether the log gets a progress line: the first, the last and every N-th step of an epoch. */
  readonly heartbeat: boolean;
}

/** Training and validation of an epoch are done: the time to write its row and its checkpoints. */
export interface EpochDone {
  readonly type: 'epochDone';
  readonly epoch: number;
  /** Training and validation together. */
  readonly seconds: number;
  readonly trainLoss: number;
  readonly validation: Evaluation;
  /** The monitored value; NaN where it is undefined. */
  readonly monitored: number;
  /** Better than every epoch before. */
  readonly improved: boolean;
  /** After the schedule's last move. */
  readonly lr: number;
}

export interface EarlyStop {
  readonly type: 'earlyStop';
  readonly epoch: number;
}

/** Training was asked to stop; the error follows. */
export interface Interrupted {
  readonly type: 'interrupted';
  readonly epoch: number;
  /** Steps of the epoch that are done. */
  readonly step: number;
}

export type TrainEvent = EpochStart | Resumed | StepDone | EpochDone | EarlyStop | Interrupted;

/** Called synchronously; what it throws ends the training. */
export type TrainObserver = (event: TrainEvent) => void;
