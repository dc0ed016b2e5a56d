/**
 * Runs `config.yaml` of the working directory under `compat`: the process that compare.ts starts, or one of those.
 * Arguments: ranks, engine, and how the ranks come to be.
 */
import { loadConfig } from '../../src/config/load.ts';
import { discoverRank } from '../../src/distributed/discovery.ts';
import { joinRanks } from '../../src/distributed/join.ts';
import { runPipeline } from '../../src/stages/pipeline.ts';
import { COMPAT } from './compare.ts';

const [ranks, engine, launch] = process.argv.slice(2);
const loaded = loadConfig('config.yaml', {
  set: [`run_config.compat=${COMPAT}`, `device_config.engine=${engine}`],
});
const log = () => {};
if (launch === 'simulated') {
  await runPipeline(loaded, { simulatedRanks: Number(ranks), log });
} else {
  const place = discoverRank();
  // Ranks that do not know of each other would each do the whole run, and pass.
  if (place.size !== Number(ranks)) throw new Error(`${launch} gave ${place.size} rank(s), not ${ranks}`);
  await runPipeline(loaded, { join: joinRanks(place, { warn: console.error }), log });
}
