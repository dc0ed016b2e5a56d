/** Where a stage's files are (contract 1.3), and putting the place in order before the stage writes there. */
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { RelicError, shown } from '../errors.ts';
import { backupPath } from './checkpoint/directory.ts';
import { assertWritable, ensureDirectory, ioError, writeFileAtomic } from './files.ts';

/** The checkpoint with the best monitored value of a stage. */
export const BEST_CHECKPOINT = 'best_model.pth';
/** What {@link quarantineStale} calls an earlier run's best checkpoint. */
export const PREVIOUS_CHECKPOINT = 'best_model.previous.pth';

/** The folder with everything that continuing a stage needs, and what {@link setAsideLast} calls an earlier run's. */
export const LAST_CHECKPOINT = 'last';
export const PREVIOUS_LAST_CHECKPOINT = 'last.previous';

/** `checkpoint_epoch_001.pth`; epochs count from 1. */
export function epochCheckpointName(epoch: number): string {
  return `checkpoint_epoch_${String(epoch).padStart(3, '0')}.pth`;
}

export interface StageDirectories {
  /** `logs/{model}/{stage}/{runId}` */
  readonly logDir: string;
  /** `models/{model}/{stage}/{runId}` */
  readonly modelDir: string;
}

/**
 * The stage's directories below `root`; with root '' or '.' they are relative, as they stand in log lines.
 * Nothing is created. Throws RELIC_USAGE for a part that is not the name of one directory.
 */
export function stageDirectories({
  root,
  model,
  stage,
  runId,
}: {
  root: string;
  model: string;
  stage: string;
  runId: string;
}): StageDirectories {
  for (const [what, name] of Object.entries({ model, stage, 'run id': runId })) checkName(what, name);
  return { logDir: join(root, 'logs', model, stage, runId), modelDir: join(root, 'models', model, stage, runId) };
}

function checkName(what: string, name: string): void {
  if (name !== '' && name !== '.' && name !== '..' && !/[/\\\p{Cc}]/u.test(name)) return;
  throw new RelicError('RELIC_USAGE', what, {
    expected: 'the name of a directory, without slashes',
    received: shown(name),
    fix: 'use letters, digits, "-", "_" and "."',
  });
}

/**
 * Makes the directories, proves that they can be written, and removes temporary files of dead writers.
 * @param withModelDir false for a stage that saves no model.
 * @throws RelicError RELIC_NO_SPACE, RELIC_NOT_WRITABLE, RELIC_IO.
 */
export function createStageDirectories({ logDir, modelDir }: StageDirectories, withModelDir: boolean): void {
  for (const directory of withModelDir ? [logDir, modelDir] : [logDir]) {
    ensureDirectory(directory);
    assertWritable(directory);
    pruneTemporaries(directory);
  }
}

/** Removes what killed processes of this machine left half written (`.{name}.{pid}.tmp`). Returns the names. */
export function pruneTemporaries(directory: string): string[] {
  const stale = readdirSync(directory).filter((name) => {
    const pid = /^\..+\.(\d+)\.tmp$/.exec(name)?.[1];
    // Writing is synchronous, so a file with our own number is of an earlier process that had it too.
    return pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)));
  });
  for (const name of stale) rmSync(join(directory, name), { recursive: true, force: true });
  return stale;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * Puts an earlier run's best checkpoint aside, so that it cannot be taken for this run's. Returns its new path, or
 * undefined when there was none. Throws as ioError says.
 */
export function quarantineStale(modelDir: string): string | undefined {
  const best = join(modelDir, BEST_CHECKPOINT);
  if (!existsSync(best)) return undefined;
  const previous = join(modelDir, PREVIOUS_CHECKPOINT);
  try {
    renameSync(best, previous);
  } catch (error) {
    throw ioError(error, best, 'rename');
  }
  return previous;
}

/** Puts an earlier run's `last/` aside, so that it cannot be continued in place of this run. Throws as ioError says. */
export function setAsideLast(modelDir: string): void {
  const last = join(modelDir, LAST_CHECKPOINT);
  const backup = backupPath(last);
  const newest = [last, backup].find((path) => existsSync(path));
  if (newest === undefined) return;
  const previous = join(modelDir, PREVIOUS_LAST_CHECKPOINT);
  try {
    rmSync(previous, { recursive: true, force: true });
    renameSync(newest, previous);
    rmSync(backup, { recursive: true, force: true });
  } catch (error) {
    throw ioError(error, newest, 'rename');
  }
}

/** Keeps the best weights in a checkpoint's folder: for nothing, where the file system can share them. */
export function keepBest(modelDir: string, directory: string): void {
  const [best, copy] = [join(modelDir, BEST_CHECKPOINT), join(directory, BEST_CHECKPOINT)];
  if (!existsSync(best)) return;
  try {
    linkSync(best, copy);
  } catch {
    writeFileAtomic(copy, readFileSync(best));
  }
}

/**
 * Makes the best weights those that {@link keepBest} put into `directory`; there are none if it had none, or without a
 * directory. Throws as ioError says.
 */
export function restoreBest(modelDir: string, directory: string | undefined): void {
  const best = join(modelDir, BEST_CHECKPOINT);
  const kept = directory === undefined ? undefined : join(directory, BEST_CHECKPOINT);
  try {
    if (kept !== undefined && existsSync(kept)) writeFileAtomic(best, readFileSync(kept));
    else rmSync(best, { force: true });
  } catch (error) {
    throw ioError(error, best, 'restore');
  }
}
