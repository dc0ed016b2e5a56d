/** Runs `config.yaml` of the working directory under `compat`: the process that compare.ts starts. Argument: ranks. */
import { loadConfig } from '../../src/config/load.ts';
import { runPipeline } from '../../src/stages/pipeline.ts';
import { COMPAT } from './compare.ts';

const loaded = loadConfig('config.yaml', { set: [`run_config.compat=${COMPAT}`] });
await runPipeline(loaded, { simulatedRanks: Number(process.argv[2]), log: () => {} });
