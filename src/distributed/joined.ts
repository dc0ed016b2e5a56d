/** What a run has of its ranks once they have found each other. */
import type { Gpu, RankOptions } from '../engine/engine.ts';
import { ALONE, type Group } from './group.ts';

/** What all ranks of a run must have in common, and what joining them needs. */
export interface JoinRequest {
  /** Of the resolved config. */
  readonly configHash: string;
  /** Engine, kernels, versions: whatever decides the last digits of a sum. Equal on every rank. */
  readonly identity: string;
  /** Of this package. */
  readonly version: string;
  /** Where gradients lie: ranks on GPUs exchange them by another library; undefined for those on the CPU. */
  readonly gpu: Gpu | undefined;
  /** Whether the engine can train with other ranks. */
  readonly trainsTogether: boolean;
  readonly bucketBytes: number;
}

export interface Joined {
  readonly group: Group;
  /** For the models of this rank; undefined where a process is alone. */
  readonly ranks: RankOptions | undefined;
  /** How the ranks found each other and exchange gradients, for the log; undefined where a process is alone. */
  readonly description: Readonly<Record<string, string | number>> | undefined;
  /** From now on a rank that survives another writes its `rank.N.fail.json` into this directory. */
  watch(directory: string): void;
  /** After the last collective: all ranks are done, or stop together. */
  leave(): Promise<void>;
  /** This rank ends by a failure of its own; the others then end too, naming it. */
  fail(code: string, message: string): Promise<void>;
}

/** How a process becomes one of the ranks of a run. */
export interface Join {
  /** This process among those of its node, from 0, and how many these are. */
  readonly localRank: number;
  readonly localSize: number;
  /** Every rank calls it once. */
  join(request: JoinRequest): Promise<Joined>;
}

const alone: Joined = {
  group: ALONE,
  ranks: undefined,
  description: undefined,
  watch() {},
  async leave() {},
  async fail() {},
};

/** A run of one process. */
export const JOIN_NOBODY: Join = { localRank: 0, localSize: 1, join: async () => alone };
