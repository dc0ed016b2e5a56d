/** Holds the shape of the source: imports point one way, files are small, each thing has one place and one test. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { COMMANDS } from '../src/cli/commands/registry.ts';
import { EMBEDDING_SOURCES } from '../src/data/embeddings/registry.ts';
import { SAMPLERS } from '../src/data/samplers/registry.ts';
import { METRICS } from '../src/metrics/registry.ts';
import { OP_KINDS } from '../src/model/program.ts';
import { MODELS } from '../src/model/registry.ts';
import { STAGES } from '../src/stages/registry.ts';
import { STRATEGIES } from '../src/train/strategies/registry.ts';
import { opCases } from './engine/op-cases.ts';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SRC = join(ROOT, 'src');
const MAX_LINES = 300;
const NATIVE = join(ROOT, 'native');
const MAX_NATIVE_LINES = 500;

/**
 * What a layer may import besides itself. A name with `:types` allows `import type` alone. Layers are the folders of
 * src/ and its files `errors`, `env` and `log`.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  env: ['errors'],
  log: ['errors', 'env'],
  random: ['errors'],
  config: ['errors'],
  artifacts: ['errors', 'log'],
  data: ['errors', 'random', 'artifacts', 'config:types'],
  model: ['errors', 'random:types', 'config:types'],
  metrics: ['errors', 'config:types'],
  engine: ['errors', 'env', 'random', 'model', 'config:types'],
  distributed: ['errors', 'env', 'artifacts', 'engine'],
  train: ['errors', 'random', 'metrics', 'model', 'data', 'engine', 'distributed', 'config:types'],
  stages: [
    'errors',
    'env',
    'log',
    'random',
    'config',
    'artifacts',
    'data',
    'model',
    'metrics',
    'engine',
    'distributed',
    'train',
  ],
};
/** May import anything. */
const TOP = ['cli', 'index'];

/** Longer than {@link MAX_LINES}, with the reason. */
const LONG_FILES: Readonly<Record<string, string>> = {};

/** Source files, or folders of them, without a test file of the same name: the test that covers them. */
const COVERED_ELSEWHERE: Readonly<Record<string, string>> = {
  'cli.ts': 'e2e/run.test.ts',
  'cli/command.ts': 'cli/help.test.ts',
  'cli/commands/registry.ts': 'cli/help.test.ts',
  'config/device.ts': 'config/schema.test.ts',
  'config/fields.ts': 'config/schema.test.ts',
  'config/names.ts': 'config/schema.test.ts',
  'config/schema-node.ts': 'config/schema.test.ts',
  'data/length-histogram.ts': 'data/report.test.ts',
  'data/report-events.ts': 'data/report.test.ts',
  'data/residues.ts': 'data/embeddings/sequence.test.ts',
  'data/simulate-options.ts': 'data/simulate.test.ts',
  'data/splits.ts': 'data/dataset.test.ts',
  'artifacts/store-format.ts': 'data/store.test.ts',
  'distributed/deadline.ts': 'distributed/meet.test.ts',
  'distributed/join.ts': 'process/ranks-launch.test.ts',
  'distributed/joined.ts': 'stages/together.test.ts',
  'distributed/sources.ts': 'distributed/discovery.test.ts',
  'engine/native/binding.ts': 'engine/native/model.test.ts',
  'engine/native/engine.ts': 'engine/native/model.test.ts',
  'engine/native/libc.ts': 'engine/native/loader.test.ts',
  'engine/native/translated.ts': 'engine/native/model.test.ts',
  'engine/typescript/': 'engine/model.test.ts',
  'engine/typescript/ops/': 'engine/ops.test.ts',
  'model/builder.ts': 'engine/ops.test.ts',
  'stages/finetune.ts': 'golden/pipeline.test.ts',
  'stages/open-stages.ts': 'stages/pipeline.test.ts',
  'stages/pretrain.ts': 'golden/pipeline.test.ts',
  'stages/session.ts': 'stages/pipeline.test.ts',
};

/** Functions of node:fs that change the file system; only `artifacts` may name them. */
const WRITING_CALLS = [
  'writeFileSync',
  'writeFile',
  'writeSync',
  'renameSync',
  'mkdirSync',
  'mkdtempSync',
  'rmSync',
  'unlinkSync',
  'appendFileSync',
  'createWriteStream',
  'truncateSync',
  'copyFileSync',
  'symlinkSync',
  'fs/promises',
];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const files = readdirSync(SRC, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts'))
  .sort();
const texts = new Map(files.map((name) => [name, readFileSync(join(SRC, name), 'utf8')]));
const imports = files.flatMap((name) => importsOf(name, texts.get(name) as string));

/** Every relative import and re-export of a file, dynamic ones included; paths relative to src/. */
function importsOf(from: string, text: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean) =>
    found.push({ from, to: relative(SRC, resolve(SRC, dirname(from), specifier)), typeOnly });
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?([^'";]*?)\s*from\s+'(\.[^']+)'/gm)) {
    const names = /^\{([^}]*)\}$/s.exec(match[2].trim())?.[1].split(',');
    const allTypes = names?.filter((name) => name.trim() !== '').every((name) => name.trim().startsWith('type '));
    add(match[3], match[1] !== undefined || allTypes === true);
  }
  for (const match of text.matchAll(/^import\s+'(\.[^']+)'/gm)) add(match[1], false);
  for (const match of text.matchAll(/(?<![\w.])import\(\s*'(\.[^']+)'\s*\)/g)) add(match[1], false);
  return found;
}

function layerOf(name: string): string {
  return name.split('/')[0].replace(/\.ts$/, '');
}

/** Comments say what code does; only code counts. Strings are kept. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

const test = suite('architecture');

test('reads imports in all their forms', () => {
  const text = [
    "import { a } from './a.ts';",
    "import type { B } from '../b.ts';",
    "import { type C, type D } from './c.ts';",
    "import { type C, d } from './d.ts';",
    "export * from './e.ts';",
    "const f = await import('./f.ts');",
    "import {\n  type G,\n  g,\n} from './g.ts';",
    "import * as h from './h.ts';",
    "import { readFileSync } from 'node:fs';",
  ].join('\n');
  const seen = importsOf('x/y.ts', text).map(({ to, typeOnly }) => `${to}${typeOnly ? ' types' : ''}`);
  const expected = ['b.ts types', 'x/a.ts', 'x/c.ts types', 'x/d.ts', 'x/e.ts', 'x/f.ts', 'x/g.ts', 'x/h.ts'];
  assert.equal(seen.sort(), expected);
});

test('every file belongs to a known layer and imports files that exist', () => {
  assert.ok(files.length > 40, `only ${files.length} files found`);
  const layers = [...Object.keys(ALLOWED), ...TOP];
  assert.equal(
    files.filter((name) => !layers.includes(layerOf(name))),
    [],
  );
  assert.equal(
    imports.filter(({ to }) => !texts.has(to)).map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test('imports point one way', () => {
  const wrong = imports.filter(({ from, to, typeOnly }) => {
    const [layer, target] = [layerOf(from), layerOf(to)];
    if (TOP.includes(layer) || layer === target) return false;
    return !ALLOWED[layer].includes(target) && !(typeOnly && ALLOWED[layer].includes(`${target}:types`));
  });
  assert.equal(
    wrong.map(({ from, to, typeOnly }) => `${from} -> ${to}${typeOnly ? ' (types)' : ''}`),
    [],
  );
});

test('no import cycle between files', () => {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) if (!typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (name: string, path: readonly string[]) => {
    if (path.includes(name)) cycles.push([...path.slice(path.indexOf(name)), name].join(' -> '));
    else if (!done.has(name)) {
      for (const to of next.get(name) ?? []) visit(to, [...path, name]);
      done.add(name);
    }
  };
  for (const name of files) visit(name, []);
  assert.equal(cycles, []);
});

test('the environment is read in env.ts alone', () => {
  const readers = files.filter((name) =>
    /process\s*\.\s*env\b|\benv\b[^;]*from 'node:process'/.test(withoutComments(texts.get(name) as string)),
  );
  assert.equal(readers, ['env.ts']);
});

test('the file system is written in artifacts/ alone', () => {
  const calls = new RegExp(`\\b(${WRITING_CALLS.join('|')})\\b|openSync\\([^)]*'[wa]\\+?'|openSync\\([^)]*'r\\+'`);
  const writers = files.filter((name) => calls.test(withoutComments(texts.get(name) as string)));
  assert.ok(writers.length > 0);
  assert.equal(
    writers.filter((name) => layerOf(name) !== 'artifacts'),
    [],
  );
});

test(`no file is longer than ${MAX_LINES} lines`, () => {
  const long = files.filter((name) => (texts.get(name) as string).trimEnd().split('\n').length > MAX_LINES);
  assert.equal(long, Object.keys(LONG_FILES));
});

const nativeFiles = readdirSync(NATIVE, { recursive: true })
  .map(String)
  .filter((name) => /\.(cpp|cu|h|inl)$/.test(name))
  .sort();

test('every C++ source is listed once in native/sources.json', () => {
  const { cpu, comm, gloo, addon, cuda, isa } = JSON.parse(readFileSync(join(NATIVE, 'sources.json'), 'utf8'));
  const kernels = Object.values<{ source: string }>(isa).map(({ source }) => source);
  const sources = nativeFiles.filter((name) => /\.(cpp|cu)$/.test(name) && !name.startsWith('test/'));
  assert.equal(
    [...cpu, ...comm, ...gloo, ...addon, ...cuda, ...kernels].sort(),
    sources.map((name) => `native/${name}`),
  );
});

test(`C++ files have at most ${MAX_NATIVE_LINES} lines, and the export table of the addon 75`, () => {
  const linesOf = (name: string) => readFileSync(join(NATIVE, name), 'utf8').trimEnd().split('\n').length;
  assert.equal(
    nativeFiles.filter((name) => linesOf(name) > MAX_NATIVE_LINES),
    [],
  );
  assert.ok(linesOf('addon/addon.cpp') <= 75);
});

test('no C++ but its tests throws, aborts, exits or prints', () => {
  const calls =
    /\b(abort|exit|_exit|terminate|assert|printf|fprintf|puts)\s*\(|\bthrow\b(?! std::bad_alloc\(\))|std::(cout|cerr)/;
  // Its purpose: what ends a rank whose other threads may all be blocked.
  const ending = 'comm/process_end.cpp';
  const wrong = nativeFiles.filter(
    (name) =>
      !name.startsWith('test/') &&
      name !== ending &&
      calls.test(withoutComments(readFileSync(join(NATIVE, name), 'utf8'))),
  );
  assert.equal(wrong, []);
});

test('one file loads the binary of the native engine', () => {
  const loaders = files.filter((name) =>
    /createRequire|process\.dlopen\(/.test(withoutComments(texts.get(name) as string)),
  );
  assert.equal(loaders, ['engine/native/loader.ts', 'engine/native/probe.ts']);
});

test('every source file has a test of its name, or another that covers it', () => {
  for (const [covered, by] of Object.entries(COVERED_ELSEWHERE)) {
    assert.ok(existsSync(join(SRC, covered)), `${covered} is gone`);
    assert.ok(existsSync(join(ROOT, 'test', by)), `${by} does not exist`);
  }
  const excused = (name: string) =>
    name in COVERED_ELSEWHERE ||
    Object.keys(COVERED_ELSEWHERE).some((key) => key.endsWith('/') && name.startsWith(key));
  const untested = files.filter((name) => !existsSync(join(ROOT, 'test', name.replace(/\.ts$/, '.test.ts'))));
  assert.equal(
    untested.filter((name) => !excused(name) && !isTypesOnly(texts.get(name) as string)),
    [],
  );
});

/** Nothing that runs: interfaces and types alone. */
function isTypesOnly(text: string): boolean {
  return !/^(export\s+)?(default\s+)?(async\s+)?(const|let|function\*?|class|enum)\b/m.test(text);
}

/** Files of a folder that are neither its registry nor the shared vocabulary named here. */
function members(folder: string, shared: readonly string[] = []): string[] {
  return readdirSync(join(SRC, folder))
    .filter((name) => name.endsWith('.ts') && name !== 'registry.ts' && !shared.includes(name))
    .map((name) => name.replace(/\.ts$/, ''))
    .sort();
}

const REGISTRIES: readonly { folder: string; names: Iterable<string>; shared: readonly string[] }[] = [
  { folder: 'cli/commands', names: Object.keys(COMMANDS), shared: [] },
  { folder: 'metrics', names: METRICS.keys(), shared: ['metric.ts', 'scores.ts', 'best-f1-threshold.ts'] },
  { folder: 'data/samplers', names: Object.keys(SAMPLERS), shared: [] },
  { folder: 'data/embeddings', names: Object.keys(EMBEDDING_SOURCES), shared: ['source.ts'] },
  { folder: 'train/strategies', names: Object.keys(STRATEGIES), shared: ['strategy.ts'] },
];

for (const { folder, names, shared } of REGISTRIES) {
  test(`the registry of ${folder} lists its files`, () => {
    const fileNames = Array.from(names, (name) => name.replaceAll('_', '-')).sort();
    assert.equal(fileNames, members(folder, shared));
  });
}

test('the registry of stages lists its files', () => {
  const stages = files.filter(
    (name) =>
      name.startsWith('stages/') &&
      /^export const \w+(: Stage)? = (trainingStage\(|\{$)|^export const \w+: Stage\b/m.test(texts.get(name) as string),
  );
  assert.equal(
    stages,
    Object.keys(STAGES)
      .map((name) => `stages/${name}.ts`)
      .sort(),
  );
});

test('every model has a file of its name', () => {
  for (const name of Object.keys(MODELS)) assert.ok(texts.has(`model/${name}.ts`), name);
});

test('every op has a case that every engine must pass', () => {
  const kinds = new Set(opCases().map(({ kind }) => kind));
  assert.equal(
    OP_KINDS.filter((kind) => !kinds.has(kind)),
    [],
  );
});

test.run();
