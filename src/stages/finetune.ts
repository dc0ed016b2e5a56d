import { trainingStage } from './train-stage.ts';

/** Trains on from pretraining's best weights, with the same data and settings (contract 1.3). */
export const finetune = trainingStage('finetune', 'pretrain');
