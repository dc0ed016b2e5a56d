/**
 * The package as its users get it: packed, installed in an empty folder on a machine without any compiler, and run. npm
 * is told that the dependencies are those of this checkout, so that no registry is asked.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { candidates } from '../../src/engine/native/loader.ts';
import { nativeBinary } from '../engine/engines.ts';
import { type Finished, finished, Project } from './project.ts';

const test = suite('e2e/package');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const facts = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const work = mkdtempSync(join(tmpdir(), 'relic-'));
test.after(() => rmSync(work, { recursive: true, force: true }));

/** A PATH with Node.js, npm and a shell, and nothing that compiles. */
const bin = join(work, 'bin');
mkdirSync(bin);
for (const program of ['npm', 'npx', 'sh']) symlinkSync(whereIs(program), join(bin, program));
symlinkSync(process.execPath, join(bin, 'node'));

function whereIs(program: string): string {
  const found = process.env.PATH?.split(delimiter)
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${program} is not on the PATH`);
  return found;
}

/** Everything that is packed, compiled afresh and without a binary. */
const staged = join(work, 'staged');
const unbuilt = facts.files.filter((name: string) => !['dist', 'prebuilds'].includes(name));
for (const name of ['package.json', ...unbuilt]) cpSync(join(ROOT, name), join(staged, name), { recursive: true });

async function succeed(project: Project, program: string, ...args: string[]): Promise<Finished> {
  const result = await finished(project.spawn(program, args, { PATH: bin, RELIC_NATIVE: '', RELIC_ISA: '' }));
  assert.is(result.status, 0, `${program} ${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result;
}

/** A file of the one pretraining there was. */
function onlyRun(project: Project, name: string): string {
  const [run, ...others] = readdirSync(project.path('logs/v3/pretrain'));
  assert.equal(others, []);
  return project.path('logs/v3/pretrain', run, name);
}

/** Packs, installs in the project's folder and runs a config; returns the log of the first stage. */
async function packAndRun(project: Project, config = 'config.yaml'): Promise<string> {
  await succeed(project, 'npm', 'pack', '--ignore-scripts', '--pack-destination', project.dir, staged);
  const names: string[] = Object.keys(facts.dependencies);
  const own = names.map((name) => [name, `file:${join(ROOT, 'node_modules', name)}`]);
  project.write(
    'package.json',
    JSON.stringify({
      private: true,
      dependencies: { 'relic-train': `file:relic-train-${facts.version}.tgz`, ...Object.fromEntries(own) },
      overrides: Object.fromEntries(names.map((name) => [name, `$${name}`])),
    }),
  );
  await succeed(project, 'npm', 'install', '--offline');
  await succeed(project, 'npx', '--no-install', 'relic-train', '--config', config);
  return readFileSync(onlyRun(project, 'log.log'), 'utf8');
}

test('dist is compiled for the package', async () => {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const project = new Project();
  const config = join(ROOT, 'tsconfig.build.json');
  const options = ['-p', config, '--outDir', join(staged, 'dist')];
  const { status, stdout } = await finished(project.spawn(process.execPath, [tsc, ...options]));
  project.remove();
  assert.is(status, 0, stdout);
});

test('without a binary the TypeScript engine runs, and warns once of what that costs', async () => {
  const project = new Project();
  const log = await packAndRun(project);
  assert.is(log.match(/engine_selected/g)?.length, 1);
  assert.match(log, /WARNING.*engine_selected .*engine=typescript.*many times slower.*no binary for.*npm run build/);
  assert.is(existsSync(project.path('models/v3/pretrain/p/best_model.pth')), true);
  project.remove();
});

test('with a binary in prebuilds/ the native engine runs the demo, with no build and no install script', async () => {
  if (nativeBinary === undefined) return;
  const prebuilt = candidates().find(({ origin }) => origin === 'prebuilt')!.path;
  const own = existsSync(prebuilt) ? prebuilt : nativeBinary.path;
  const place = join(staged, prebuilt.slice(ROOT.length));
  cpSync(own, place);
  const project = new Project();
  // Nothing in the folder but the package: the config is the package's own.
  for (const name of readdirSync(project.dir)) rmSync(project.path(name), { recursive: true });
  const log = await packAndRun(project, 'configs/demo.yaml');
  assert.match(log, /INFO.*engine_selected .*engine=native.*prebuilds/);
  const { environment } = JSON.parse(readFileSync(onlyRun(project, 'run.json'), 'utf8'));
  assert.equal([environment.isa, environment.precision], [nativeBinary.isas[0], 'fp32']);
  assert.ok(environment.threads >= 1);
  project.remove();
});

test('a binary that does not work is one warning, and the run goes on', async () => {
  const place = join(
    staged,
    candidates()
      .find(({ origin }) => origin === 'prebuilt')!
      .path.slice(ROOT.length),
  );
  mkdirSync(join(place, '..'), { recursive: true });
  writeFileSync(place, 'this is text');
  const project = new Project();
  const log = await packAndRun(project);
  assert.is(log.match(/WARNING.*engine_selected/g)?.length, 1);
  assert.match(log, /WARNING.*engine_selected .*engine=typescript.*cannot be used/);
  project.remove();
});

test.run();
