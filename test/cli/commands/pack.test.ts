import { existsSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { writePth } from '../../../src/artifacts/checkpoint/pth.ts';
import { PackedStore } from '../../../src/data/store.ts';
import { Project } from '../../e2e/project.ts';
import { runCli } from '../capture.ts';

const FASTA = '>sp|P12345|ONE_HUMAN first\nMKTAYIAK\n>plain\nACDEFGHIKL\n>gi|7\nMK\n';
const test = suite('cli/commands/pack');
const home = process.cwd();
const here = new Project();
test.before(() => process.chdir(here.dir));
test.after(() => {
  process.chdir(home);
  here.remove();
});

function open(path: string) {
  const store = PackedStore.open(path, { maxLength: 1000 });
  store.close();
  return store;
}

test('packs every protein of a FASTA file under the name that pair files use', async () => {
  here.write('proteins.fasta', FASTA);
  const args = ['--source', 'sequence', '--path', 'proteins.fasta', '--dim', '32', '--out', 'new/sequence.safetensors'];
  const { status, stdout, stderr } = await runCli('pack', ...args);
  assert.is(status, 0, stderr);
  assert.match(
    stdout,
    /packed 3 proteins, 20 residues of 32 x float32, .*B, in \d+\.\d s: new\/sequence\.safetensors\n$/,
  );
  const store = open('new/sequence.safetensors');
  assert.equal(store.ids, ['P12345', 'gi|7', 'plain']);
  assert.equal([...store.lengths], [8, 2, 10]);
});

test('packs a cache, in another number format, and a store again', async () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  here.write('cache/index.json', '{"Q1": "q1.pt"}');
  const metadata = { schema_version: 1, source: 'esm3', model_name: 'm', input_dim: 2, max_sequence_length: 9 };
  here.write('cache/metadata.json', JSON.stringify({ ...metadata, format: 'torch_pt_per_protein' }));
  writePth('cache/q1.pt', [{ name: 'x', shape: [3, 2], dtype: 'float32', data }]);
  const half = ['--dim', '2', '--dtype', 'float16', '--out', 'half.safetensors'];
  assert.is((await runCli('pack', '--source', 'cache', '--path', 'cache', ...half)).status, 0);
  assert.is(open('half.safetensors').file.dtype, 'float16');
  const again = ['--source', 'store', '--path', 'half.safetensors', '--dim', '2', '--out', 'full.safetensors'];
  assert.is((await runCli('pack', ...again)).status, 0);
  const store = PackedStore.open('full.safetensors', { maxLength: 10 });
  const rows = new Float32Array(6);
  store.read(0, rows, 0);
  store.close();
  assert.equal(rows, data);
});

test("packs a config's proteins where its run looks for them, once", async () => {
  const first = await runCli('pack', '--config', 'config.yaml');
  assert.is(first.status, 0, first.stderr);
  const [, path] = /: (packed\/.*\.safetensors)\n$/.exec(first.stdout) ?? [];
  assert.is(open(path).count, 10);
  assert.is((await runCli('pack', '--config', 'config.yaml')).stdout, `packed already: ${path}\n`);
  await runCli('pack', '--config', 'config.yaml', '--out', 'copy.safetensors');
  assert.ok(existsSync('copy.safetensors'));
});

test('says what is missing or unknown', async () => {
  const refused = async (message: RegExp, ...args: string[]) => {
    const { status, stderr } = await runCli('pack', ...args);
    assert.is(status, 2);
    assert.match(stderr, message);
  };
  await refused(/without --config, --path, --dim, --out must be given/, '--source', 'sequence');
  const rest = ['--path', 'x', '--dim', '2', '--out', 'y'];
  await refused(
    /--source synthetic cannot be packed: expected sequence, cache, store/,
    '--source',
    'synthetic',
    ...rest,
  );
  await refused(/did you mean float16\?/, '--source', 'cache', '--dtype', 'float61', ...rest);
});

test.run();
