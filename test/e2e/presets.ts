/** The presets of configs/ on simulated pairs, in a folder of their own. */
import { fileURLToPath } from 'node:url';
import { simulationFiles } from '../../src/data/simulate.ts';
import { Project } from './project.ts';

const SPLITS = ['train', 'valid', 'test'];

export function presetPath(name: string): string {
  return fileURLToPath(new URL(`../../configs/${name}.yaml`, import.meta.url));
}

export function presetProject(): Project {
  const made = new Project();
  for (const { name, text } of simulationFiles()) made.write(`pairs/${name}`, text);
  return made;
}

/** Where a preset finds these pairs, and run ids that do not depend on the clock. */
export const PRESET_SETTINGS = [
  'data_config.benchmark.root_dir=pairs',
  ...SPLITS.map((split) => `data_config.dataloader.${split}_dataset=pairs/${split}.txt`),
  'run_config.pretrain_run_id=p',
  'run_config.finetune_run_id=f',
  'run_config.eval_run_id=e',
];
