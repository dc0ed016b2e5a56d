/** The `run.json` of each stage, from the start of the run to the end of the stage. */
import { join } from 'node:path';
import { type RunFacts, type StageStatus, writeManifest } from '../artifacts/manifest.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { EngineInfo } from '../engine/engine.ts';
import { RelicError } from '../errors.ts';
import { isInterruption } from '../train/interruption.ts';
import type { OpenStage } from './open-stages.ts';
import { packageFacts } from './package-facts.ts';
import { thisProcess } from './process-identity.ts';
import { STAGES } from './registry.ts';
import type { StageName, StagePlace } from './stage.ts';

export interface SessionFacts {
  readonly loaded: LoadedConfig;
  readonly engine: EngineInfo;
  readonly ranks: number;
  /** Of all selected stages. */
  readonly places: ReadonlyMap<StageName, StagePlace>;
  /** When the run began, in this process or an earlier one. */
  readonly runStartedAt: Date;
  readonly now: () => Date;
  /** False on ranks that write nothing. */
  readonly writes: boolean;
  /** What explains the numbers besides the engine, as of now. */
  readonly environment: () => Readonly<Record<string, string | number>>;
}

export class Session {
  private readonly facts: SessionFacts;
  private startedAt: Date;

  constructor(facts: SessionFacts) {
    this.facts = facts;
    this.startedAt = facts.now();
  }

  /** The stage is to come: its old manifest, if any, does not speak for this run. */
  wait(stage: OpenStage): void {
    this.write(stage, 'waiting');
  }

  begin(stage: OpenStage): void {
    this.startedAt = this.facts.now();
    this.write(stage, 'running');
  }

  /** Closes the log, then describes the finished files. */
  end(stage: OpenStage, status: StageStatus): void {
    const { place, log, written } = stage;
    log.close();
    const files = [join(place.logDir, 'log.log'), join(place.logDir, 'events.jsonl'), ...written];
    this.write(stage, status, { files, endedAt: this.facts.now() });
  }

  /** Tells the failure where the stage's other records are. That must not hide the failure itself. */
  fail(stage: OpenStage, error: unknown): void {
    const interrupted = isInterruption(error);
    try {
      if (!interrupted) {
        stage.log.error('stage_failed', {
          code: error instanceof RelicError ? error.code : 'internal',
          message: error instanceof Error ? error.message : String(error),
          stage: stage.place.stage,
        });
      } else if (!STAGES[stage.place.stage].savesModel) stage.log.warning('interrupted', { stage: stage.place.stage });
      this.end(stage, interrupted ? 'interrupted' : 'failed');
    } catch {
      // The disk may be full, which is then the failure that is thrown.
    }
  }

  private write({ place, csvRows }: OpenStage, status: StageStatus, ended: Partial<RunFacts> = {}): void {
    if (!this.facts.writes) return;
    const { loaded, engine, ranks, places, runStartedAt } = this.facts;
    const { name, reason, device, threads, isa, precision } = engine;
    const { config, hash } = loaded;
    writeManifest(place.logDir, {
      status,
      package: packageFacts(),
      engine: { name, reason, device },
      seed: config.run_config.seed,
      configHash: hash,
      config,
      startedAt: this.startedAt,
      run: {
        stages: Object.fromEntries(Array.from(places.values(), ({ stage, runId }) => [stage, runId])),
        ranks,
        startedAt: runStartedAt,
        csvRows,
        process: thisProcess(),
      },
      files: [],
      environment: { threads, precision, ...(isa === undefined ? {} : { isa }), ...this.facts.environment() },
      ...ended,
    });
  }
}
