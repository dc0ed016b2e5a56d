// Runs the program in a worker and terminates it at the moment that end-at.mjs tells: `end-worker.mjs CLI OPTION...`.
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { register } from 'tsx/esm/api';

if (isMainThread) {
  const [cli, ...argv] = process.argv.slice(2);
  const worker = new Worker(new URL(import.meta.url), { argv, workerData: cli });
  worker.once('message', async () => {
    await worker.terminate();
    process.exitCode = 7;
  });
} else {
  register();
  await import('./end-at.mjs');
  await import(workerData);
}
