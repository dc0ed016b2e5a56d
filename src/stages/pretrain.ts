import { trainingStage } from './train-stage.ts';

/** Trains from the model's initial values. */
export const pretrain = trainingStage('pretrain', null);
