/** What the ranks of a run do so that one writes and all have the same. */
import type { LoadedConfig } from '../config/load.ts';
import { allGatherText, barrier, fromFirst, type Group, isFirst } from '../distributed/group.ts';
import type { JoinRequest } from '../distributed/joined.ts';
import type { Engine, EngineModel } from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import { type EventLog, nullLog } from '../log.ts';
import { isInterruption } from '../train/interruption.ts';
import type { OpenStage } from './open-stages.ts';
import { packageFacts } from './package-facts.ts';
import { type PreparedData, prepareData } from './prepare.ts';
import type { EarlierRun } from './resume.ts';
import type { Continuation, Run } from './stage.ts';
import { takeUp } from './take-up.ts';

const BYTES_PER_MEGABYTE = 1e6;

/** Errors that every rank of a run throws at the same point. */
const onAllRanks = new WeakSet<object>();

/** Whether every rank ends with this failure: one asked to stop, a loss that is not finite, other data. */
export function isOnAllRanks(error: unknown): boolean {
  return isInterruption(error) || codeOf(error) === 'RELIC_NOT_FINITE' || onAllRanks.has(error as object);
}

export function codeOf(error: unknown): string {
  return error instanceof RelicError ? error.code : 'internal';
}

/** Part of the time since `from` that this process waited for other ranks. */
export function collectiveShare(model: Pick<EngineModel, 'collectiveSeconds'> | undefined, from: Date, to: Date) {
  const seconds = model?.collectiveSeconds?.().waited;
  return seconds === undefined
    ? {}
    : { collective_share: (1000 * seconds) / Math.max(1, to.getTime() - from.getTime()) };
}

export function joinRequest({ config, hash }: LoadedConfig, { info, gpu }: Engine): JoinRequest {
  const { name, isa, precision } = info;
  const node = process.versions.node.split('.')[0];
  return {
    configHash: hash,
    version: packageFacts().version,
    identity: `${name} engine, ${isa} kernels, ${precision}, Node.js ${node}`,
    gpu,
    trainsTogether: name !== 'typescript',
    bucketBytes: Math.ceil(config.device_config.ddp_bucket_mb * BYTES_PER_MEGABYTE),
  };
}

/**
 * Data made ready by the first rank, then opened by the others: what it simulated and packed is there for them.
 * @throws as {@link prepareData}
 */
export async function prepareTogether(group: Group, loaded: LoadedConfig, log: EventLog): Promise<PreparedData> {
  const own = isFirst(group) ? prepareData(loaded, log) : undefined;
  await barrier(group, 'data');
  return own ?? prepareData(loaded, nullLog());
}

/** @throws RELIC_RANKS naming the ranks whose pairs or embeddings are not those of rank 0 */
export async function assertSameData(group: Group, hash: string): Promise<void> {
  const [expected, ...others] = await allGatherText(group, 'data hash', hash);
  const problems = others.flatMap((found, i) =>
    found === expected
      ? []
      : [{ where: `rank ${i + 1}`, message: `data hash ${found}, that of rank 0 is ${expected}` }],
  );
  if (problems.length === 0) return;
  const error = new RelicError('RELIC_RANKS', 'ranks see other pairs or embeddings than rank 0', {
    problems,
    fix: 'put the data where every node sees the same files',
  });
  onAllRanks.add(error);
  throw error;
}

/** As {@link takeUp}, by the first rank; the others learn where it goes on, and get weights and moments from it later. */
export async function takeUpTogether(
  stages: readonly OpenStage[],
  earlier: EarlierRun,
  run: Run,
): Promise<Continuation | undefined> {
  const { group, loaders } = run;
  const { generator } = loaders.train;
  const own = isFirst(group) ? takeUp(stages, earlier, run) : undefined;
  const { state, order } = await fromFirst(group, 'checkpoint', () => {
    return { state: own?.state, order: generator.position() };
  });
  generator.moveTo(order);
  return state && { state, checkpoint: own ?? null };
}
