/** A folder with a tiny config and pair files, in which the program runs as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
export const NODE_ARGS = ['--import', import.meta.resolve('tsx'), CLI];

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Settings = Record<string, unknown>;

/** Synthetic embeddings of 6 residues by 8 features, a model of some hundred parameters, two epochs of four steps. */
export function tinyConfig(): Settings {
  return {
    run_config: { mode: 'full_pipeline', seed: 3, pretrain_run_id: 'p', finetune_run_id: 'f', eval_run_id: 'e' },
    device_config: { device: 'cpu', ddp_enabled: false, use_mixed_precision: false },
    data_config: {
      benchmark: { root_dir: 'pairs' },
      embeddings: { source: 'synthetic', store_dir: 'packed' },
      max_sequence_length: 6,
      dataloader: {
        train_dataset: 'pairs/train.txt',
        valid_dataset: 'pairs/valid.txt',
        test_dataset: 'pairs/test.txt',
        sampling: { strategy: 'none' },
      },
    },
    model_config: {
      model: 'v3',
      input_dim: 8,
      d_model: 8,
      encoder_layers: 1,
      cross_attn_layers: 1,
      n_heads: 2,
      mlp_head: { hidden_dims: [4], dropout: 0, activation: 'gelu', norm: 'layernorm' },
      regularization: { dropout: 0 },
    },
    training_config: {
      epochs: 2,
      batch_size: 8,
      logging: { heartbeat_every_n_steps: 1 },
      optimizer: { type: 'adamw', lr: 0.01 },
      scheduler: { type: 'none' },
    },
    evaluate: { metrics: ['auroc'] },
  };
}

/** `count` pairs of ten proteins, alternately interacting or not. */
export function pairLines(count: number, offset = 0): string {
  let text = '';
  for (let i = 0; i < count; i++) text += `P${(i + offset) % 10}\tP${(3 * i + offset + 1) % 10}\t${i % 2}\n`;
  return text;
}

export class Project {
  readonly dir = mkdtempSync(join(tmpdir(), 'relic-'));

  constructor() {
    this.write('config.yaml', stringify(tinyConfig()));
    this.write('pairs/train.txt', pairLines(32));
    this.write('pairs/valid.txt', pairLines(8, 1));
    this.write('pairs/test.txt', pairLines(8, 2));
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  write(name: string, content: string | Uint8Array, mode = 0o644): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content, { mode });
  }

  /** Every file below the folder, but for those the constructor wrote. */
  made(): string[] {
    return readdirSync(this.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(this.dir.length + 1))
      .filter((name) => name !== 'config.yaml' && !name.startsWith('pairs/'))
      .sort();
  }

  /** Starts the program here; its environment has no trace of a launcher or of continuous integration. */
  start(args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
    return this.spawn(process.execPath, [...NODE_ARGS, ...args], environment);
  }

  spawn(program: string, args: readonly string[], environment: Record<string, string> = {}): ChildProcess {
    const { CI: _ci, RANK: _rank, WORLD_SIZE: _size, ...inherited } = process.env;
    return spawn(program, args, {
      cwd: this.dir,
      env: { ...inherited, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  run(...args: string[]): Promise<Finished> {
    return finished(this.start(args));
  }

  /** Trains with the tiny config and these overrides. */
  train(...set: string[]): Promise<Finished> {
    return this.run('--config', 'config.yaml', ...set.flatMap((setting) => ['--set', setting]));
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function finished(child: ChildProcess): Promise<Finished> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk) => (stdout += chunk));
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });
}
