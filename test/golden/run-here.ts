/** Runs `config.yaml` of the working directory under `compat`: the process that compare.ts starts. Arguments: ranks, engine. */
import { loadConfig } from '../../src/config/load.ts';
import { runPipeline } from '../../src/stages/pipeline.ts';
import { COMPAT } from './compare.ts';

const [, , ranks, engine] = process.argv;
const loaded = loadConfig('config.yaml', {
  set: [`run_config.compat=${COMPAT}`, `device_config.engine=${engine}`],
});
await runPipeline(loaded, { simulatedRanks: Number(ranks), log: () => {} });
