// Runs configs/v3_hpc.yaml on all GPUs of this machine, a rank each, or on two ranks of its CPU, and configs/v3_local_cpu.yaml
// in one process, and compares what they leave: file names, events in their order, their fields, CSV headers. Values may
// differ, and ranks tell how they found each other. Exits 1 when anything else differs: node scripts/check-hpc.mjs
import { register } from 'tsx/esm/api';

register();
const { hpcRun, localRun, shapeDifferences } = await import('../test/e2e/hpc.ts');
const { COMPAT } = await import('../test/golden/compare.ts');

let [passed, failed] = [0, 0];
for (const compat of ['none', COMPAT]) {
  const local = await localRun(compat);
  try {
    const { project, how } = await hpcRun(compat);
    try {
      const apart = shapeDifferences(local.dir, project.dir);
      if (apart.length === 0) passed++;
      else failed++;
      console.log(`${apart.length === 0 ? 'ok  ' : 'FAIL'} v3_hpc.yaml, ${how}, compat ${compat}`);
      for (const line of apart) console.log(`     ${line}`);
    } finally {
      project.remove();
    }
  } finally {
    local.remove();
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
