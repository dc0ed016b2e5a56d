/** A tiny project in a folder of its own, in which stages run inside this process. */
import { readFileSync } from 'node:fs';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { type PipelineOptions, type PipelineResult, runPipeline } from '../../src/stages/pipeline.ts';
import { Project } from '../e2e/project.ts';

const home = process.cwd();

/** Runs `action` in a new project, as its working directory. */
export async function inProject(action: (project: TinyProject) => Promise<void> | void): Promise<void> {
  const project = new TinyProject();
  process.chdir(project.dir);
  try {
    await action(project);
  } finally {
    process.chdir(home);
    project.remove();
  }
}

export class TinyProject extends Project {
  load(...set: string[]): LoadedConfig {
    return loadConfig('config.yaml', { set });
  }

  runHere(set: readonly string[] = [], options: PipelineOptions = {}): Promise<PipelineResult> {
    return runPipeline(this.load(...set), { log: () => {}, ...options });
  }

  read(...path: string[]): string {
    return readFileSync(this.path(...path), 'utf8');
  }

  /** `LEVEL body` of each line of a stage's log. */
  logLines(stage: string, runId: string): string[] {
    const lines = this.read('logs/v3', stage, runId, 'log.log').trimEnd().split('\n');
    return lines.map((line) => line.replace(/^\S+ \S+ (\S+) \S+ - /, '$1 '));
  }

  /** Names of a stage's events, heartbeats included. */
  events(stage: string, runId: string): { event: string; [field: string]: unknown }[] {
    const lines = this.read('logs/v3', stage, runId, 'events.jsonl').trimEnd().split('\n');
    return lines.map((line) => JSON.parse(line));
  }
}

export const COMPAT = 'run_config.compat=relic-5f23433';
