/** Stages by name, and which of them a mode runs. To add one: one file here, one line below. */
import type { RunConfig } from '../config/schema.ts';
import { evaluate } from './evaluate.ts';
import { finetune } from './finetune.ts';
import { pretrain } from './pretrain.ts';
import type { Stage, StageName } from './stage.ts';

export const STAGES: Readonly<Record<StageName, Stage>> = { pretrain, finetune, evaluate };

/** In the order in which they run (contract 1.3). */
export const MODE_STAGES: Readonly<Record<RunConfig['mode'], readonly StageName[]>> = {
  train_only: ['pretrain'],
  full_pipeline: ['pretrain', 'finetune', 'evaluate'],
  eval_only: ['evaluate'],
};
