// check-old-cpu.mjs QEMU: whether the native engine runs where there is no AVX. The demo, cut short, runs under the user-mode
// emulator QEMU (qemu-x86_64) as on a Nehalem of 2008: it must choose the generic kernels and leave the very bytes that they
// leave here. Needs dist/ and a binary of the engine. Ends with `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const RUN = 'run';
const SETTINGS = [
  'device_config.engine=native',
  'device_config.threads=2',
  'training_config.epochs=1',
  'data_config.benchmark.simulate.pairs=160',
];
const work = mkdtempSync(join(tmpdir(), 'relic-'));
let [passed, failed] = [0, 0];

function check(what, ok, detail) {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}: ${detail}`);
}

/** Runs the demo in a folder of its own; returns the folder. */
function demo(name, environment, ...program) {
  const cwd = mkdtempSync(join(work, `${name}-`));
  const options = ['--config', 'configs/demo.yaml', '--run-id', RUN, ...SETTINGS.flatMap((each) => ['--set', each])];
  const [command, ...args] = [...program, process.execPath, join(ROOT, 'dist', 'cli.js'), ...options];
  const env = { ...process.env, RELIC_ISA: '', ...environment };
  const { status, signal, stderr, error } = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  check(`the demo ${name} ends well`, status === 0, `${error ?? signal ?? `status ${status}`}`);
  if (status !== 0) console.log(stderr);
  return cwd;
}

const read = (folder, path) => {
  try {
    return readFileSync(join(folder, path));
  } catch ({ message }) {
    return Buffer.from(message);
  }
};

const emulated = demo('on an emulated Nehalem', {}, process.argv[2], '-cpu', 'Nehalem');
const here = demo('with the generic kernels', { RELIC_ISA: 'generic' });
const manifest = read(emulated, `logs/v3/evaluate/${RUN}/run.json`).toString();
check('its kernels', /"isa": "generic"/.test(manifest), /"isa": .*|.*ENOENT.*/.exec(manifest)?.[0] ?? manifest);
for (const path of [`models/v3/finetune/${RUN}/best_model.pth`, `logs/v3/evaluate/${RUN}/evaluate.csv`]) {
  const [one, other] = [read(emulated, path), read(here, path)];
  check(
    path,
    one.equals(other) && one.length > 100,
    `${one.length} bytes, ${one.equals(other) ? 'the same' : 'others'}`,
  );
}
rmSync(work, { recursive: true });
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
