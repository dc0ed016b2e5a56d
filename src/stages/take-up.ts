/** Puts the files and the data order of a run back to where its next process goes on. */
import { promoteBackup } from '../artifacts/checkpoint/directory.ts';
import { restoreBest } from '../artifacts/run-directory.ts';
import { RelicError } from '../errors.ts';
import { engineMark, type LastCheckpoint, lastCheckpointPath, openLast } from './last-checkpoint.ts';
import type { OpenStage } from './open-stages.ts';
import { STAGES } from './registry.ts';
import type { EarlierRun } from './resume.ts';
import type { Run, StagePlace } from './stage.ts';

/**
 * @param stages those that are left, the one to go on with first.
 * @returns the checkpoint of that stage; undefined when it starts from its beginning.
 * @throws RELIC_CHECKPOINT_* before anything is changed; RELIC_CSV_MISMATCH when rows are gone.
 */
export function takeUp(stages: readonly OpenStage[], earlier: EarlierRun, run: Run): LastCheckpoint | undefined {
  const [stage] = stages;
  const { place, csv, log } = stage;
  const trains = STAGES[place.stage].savesModel;
  const found = trains ? openLast(place, run.mark) : undefined;
  const before = trains && found === undefined ? orderAfter(finishedBefore(stage, earlier), run) : undefined;

  const last = found?.fallback === undefined ? found : withoutBroken(stage, found, run);
  for (const each of stages) each.csv.cutBackTo(each === stage && last !== undefined ? last.csvRows : each.csvRows);
  if (trains) restoreBest(place.modelDir, last?.path);
  if (before !== undefined) run.loaders.train.generator.moveTo(before);
  if (last === undefined) {
    log.note('info', 'run_resumed', { checkpoint: null, stage: place.stage });
    return undefined;
  }
  for (const path of last.written) stage.written.add(path);
  const { path, state, logBytes, csvRows } = last;
  warnOfOtherEngine(stage, last, run);
  // Records that stand after these bytes are of steps that are done once more.
  log.note('info', 'run_resumed', {
    checkpoint: path,
    csv_path: csv.path,
    csv_rows: csvRows,
    epoch: state.epoch + 1,
    events_bytes: logBytes['events.jsonl'],
    finished: state.finished,
    log_bytes: logBytes['log.log'],
    stage: place.stage,
    step: state.step,
  });
  return last;
}

/** Says that the newest checkpoint cannot be used, and puts the one before it in its place. */
function withoutBroken({ place, log }: OpenStage, { path, fallback }: LastCheckpoint, run: Run) {
  log.note('warning', 'checkpoint_incomplete', { reason: fallback, used: path });
  promoteBackup(lastCheckpointPath(place));
  return openLast(place, run.mark);
}

/** The training stage before this one, if there is one. */
function finishedBefore({ place }: OpenStage, { places, complete }: EarlierRun): StagePlace | undefined {
  const name = [...complete].filter((stage) => STAGES[stage].savesModel && stage !== place.stage).at(-1);
  return name === undefined ? undefined : places.get(name);
}

/** The data order goes on through the stages, so one that starts over needs to know where the one before ended. */
function orderAfter(place: StagePlace | undefined, { mark }: Run) {
  if (place === undefined) return undefined;
  const last = openLast(place, mark);
  if (last?.state.finished) return last.state.order;
  throw new RelicError('RELIC_CHECKPOINT_NOT_FOUND', `the end of ${place.stage} is needed to go on`, {
    where: lastCheckpointPath(place),
    expected: 'the checkpoint with which the stage ended',
    received: last === undefined ? 'nothing' : `one of epoch ${last.state.epoch + 1}`,
    fix: 'bring it back, or start anew without --resume',
  });
}

function warnOfOtherEngine({ log }: OpenStage, { engine: before }: LastCheckpoint, { engine }: Run): void {
  const now = engineMark(engine);
  const keys = (Object.keys(now) as (keyof typeof now)[]).filter((key) => now[key] !== before[key]);
  if (keys.length === 0) return;
  log.note('warning', 'engine_changed', {
    changed: keys.map((key) => `${key} ${before[key]} -> ${now[key]}`).join(', '),
    effect: 'sums may differ in their last digits from those of a run without interruption',
  });
}
