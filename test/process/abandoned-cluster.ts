/** Starts a Slurm with a job that sleeps, says where, and waits to be killed: what slurm-cluster.test.ts starts. */
import { tmpdir } from 'node:os';
import { SlurmCluster } from './slurm-cluster.ts';

const cluster = await SlurmCluster.start({ nodes: 2 });
const id = await cluster.sbatch(['--ntasks=2', '--wrap', 'srun sleep 1000'], { cwd: tmpdir() });
await cluster.waitFor(id, ['RUNNING']);
console.log(cluster.dir);
setInterval(() => {}, 1000);
