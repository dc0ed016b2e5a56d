/** The public API: everything a program that uses relic-train may import. Documentation stands at each definition. */
export { readCheckpoint } from './artifacts/checkpoint/load.ts';
export { readPth, writePth } from './artifacts/checkpoint/pth.ts';
export { readSafetensors, writeSafetensors } from './artifacts/checkpoint/safetensors.ts';
export type { NamedTensor, TensorFile } from './artifacts/checkpoint/tensors.ts';
export { writePackedStore } from './artifacts/packed-store.ts';
export type { LoadedConfig, LoadOptions } from './config/load.ts';
export { loadConfig, parseConfig } from './config/load.ts';
export { configReference } from './config/reference.ts';
export type { Config } from './config/schema.ts';
export type { EmbeddingSource } from './data/embeddings/source.ts';
export { simulateInteractome } from './data/simulate.ts';
export type { SimulateOptions } from './data/simulate-options.ts';
export { PackedStore } from './data/store.ts';
export type { ProgramCost } from './engine/cost.ts';
export { programCost } from './engine/cost.ts';
export type {
  Batch,
  EmbeddingStore,
  Engine,
  EngineInfo,
  EngineModel,
  OptimizerSettings,
  OptimizerState,
  ParameterMoments,
  Scores,
  State,
  StepSettings,
} from './engine/engine.ts';
export type { EngineRequest } from './engine/select.ts';
export { listEngines, selectEngine } from './engine/select.ts';
export type { ErrorCode, Problem } from './errors.ts';
export { ERROR_EXIT, EXIT, RelicError } from './errors.ts';
export { computeMetrics, METRICS } from './metrics/registry.ts';
export { differentiate } from './model/autodiff.ts';
export { forInference } from './model/inference.ts';
export type { Op, OpKind, Program } from './model/program.ts';
export { OP_KINDS, parameterCount, verifyProgram } from './model/program.ts';
export { buildModel, MODELS } from './model/registry.ts';
export { TorchGenerator } from './random/torch-generator.ts';
export { loadState, saveState } from './stages/checkpoints.ts';
export type { PipelineOptions, PipelineResult } from './stages/pipeline.ts';
export { runPipeline } from './stages/pipeline.ts';
export type { Plan } from './stages/plan.ts';
export { planPipeline } from './stages/plan.ts';
export { MODE_STAGES, STAGES } from './stages/registry.ts';
export type { Progress, Stage } from './stages/stage.ts';
export type { Evaluation } from './train/evaluate.ts';
export { evaluate } from './train/evaluate.ts';
export { initialState } from './train/initial-state.ts';
export type { CheckpointMoment, TrainState } from './train/state.ts';
export type { TrainOptions } from './train/trainer.ts';
export { train } from './train/trainer.ts';
