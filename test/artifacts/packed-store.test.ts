import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import * as nodeFs from 'node:fs';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { writePackedStore } from '../../src/artifacts/packed-store.ts';
import type { StoreDtype } from '../../src/artifacts/store-format.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('packed-store');
let dir = '';
test.before.each(() => {
  dir = mkdtempSync(join(tmpdir(), 'relic-'));
});
test.after.each(() => rmSync(dir, { recursive: true }));

const ROWS: Record<string, number[]> = { P1: [1, 2, 3], P2: [4, 5, 6, 7, 8, 9], Ä3: [0.5, -0.25, 0] };

function contents(changes: Record<string, number[]> = {}, dtype: StoreDtype = 'float32') {
  const rows = { ...ROWS, ...changes };
  return {
    dim: 3,
    dtype,
    source: 'synthetic',
    fingerprint: 'f00d',
    ids: Object.keys(rows),
    lengthOf: (id: string) => rows[id].length / 3,
    rowsOf: (id: string) => Float32Array.from(rows[id]),
  };
}

/** The file as any safetensors reader sees it. */
function parse(path: string) {
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  const data = (name: string) => {
    const [from, to] = header[name].data_offsets;
    return bytes.subarray(8 + length + from, 8 + length + to);
  };
  return { bytes, header, data, dataStart: 8 + length };
}

test('writes rows, offsets, ids and metadata as a safetensors file with aligned rows', () => {
  const path = join(dir, 'made', 'store.safetensors');
  const written = writePackedStore(path, contents());
  const { bytes, header, data, dataStart } = parse(path);
  deepStrictEqual(written, { bytes: bytes.length, residues: 4 });
  strictEqual(dataStart % 64, 0);
  strictEqual(header.embeddings.data_offsets[0], 0);
  deepStrictEqual(header.embeddings.shape, [4, 3]);
  strictEqual(header.embeddings.dtype, 'F32');
  const values = Array.from({ length: 12 }, (_, i) => data('embeddings').readFloatLE(4 * i));
  deepStrictEqual(values, Object.values(ROWS).flat());
  const offsets = Array.from({ length: 4 }, (_, i) => Number(data('offsets').readBigInt64LE(8 * i)));
  deepStrictEqual(offsets, [0, 1, 3, 4]);
  strictEqual(data('ids').toString('utf8'), 'P1\nP2\nÄ3');
  deepStrictEqual(header.__metadata__, {
    format: 'relic-train-embeddings',
    version: '1',
    source: 'synthetic',
    fingerprint: 'f00d',
    dim: '3',
    count: '3',
  });
});

test('rows start at a multiple of 64 bytes whatever the length of the header', () => {
  for (let length = 0; length < 64; length += 9) {
    const path = join(dir, 's');
    writePackedStore(path, { ...contents(), fingerprint: 'f'.repeat(length) });
    strictEqual(parse(path).dataStart % 64, 0);
  }
});

test('writes 16-bit rows rounded to nearest', () => {
  const path = join(dir, 'store.safetensors');
  writePackedStore(path, contents({ P1: [1, -2, 65504] }, 'float16'));
  const half = parse(path);
  strictEqual(half.header.embeddings.dtype, 'F16');
  deepStrictEqual(
    [0, 2, 4].map((at) => half.data('embeddings').readUInt16LE(at)),
    [0x3c00, 0xc000, 0x7bff],
  );
  writePackedStore(path, contents({ P1: [1, -2, 1e30] }, 'bfloat16'));
  const brain = parse(path);
  strictEqual(brain.header.embeddings.dtype, 'BF16');
  strictEqual(brain.data('embeddings').length, 24);
  strictEqual(brain.data('embeddings').readUInt16LE(2), 0xc000);
});

test('asks for rows one protein at a time and reports progress after each', () => {
  const calls: string[] = [];
  const made = contents();
  writePackedStore(join(dir, 's'), {
    ...made,
    rowsOf: (id) => {
      calls.push(id);
      return made.rowsOf(id);
    },
    onProgress: (done, total) => calls.push(`${done}/${total}`),
  });
  deepStrictEqual(calls, ['P1', '1/3', 'P2', '2/3', 'Ä3', '3/3']);
});

for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
  test(`${bad} is refused with its protein, row and column, and nothing is left behind`, () => {
    const path = join(dir, 's');
    const write = () => writePackedStore(path, contents({ P2: [1, 2, 3, 4, bad, 6] }));
    assertThrowsCode(write, 'RELIC_EMBEDDING_INVALID', /"P2".*row 1, column 1/);
    deepStrictEqual(readdirSync(dir), []);
  });
}

test('a value that float16 cannot hold is refused, one that rounds to its largest is not', () => {
  const write = (value: number, dtype: StoreDtype) =>
    writePackedStore(join(dir, 's'), contents({ P1: [0, 0, value] }, dtype));
  write(65519, 'float16');
  assertThrowsCode(() => write(65520, 'float16'), 'RELIC_EMBEDDING_INVALID', /float16 can hold.*bfloat16 or float32/s);
  write(65520, 'bfloat16');
  assertThrowsCode(() => write(3.4e38, 'bfloat16'), 'RELIC_EMBEDDING_INVALID', /bfloat16 can hold/);
});

test('rows of another size than announced, and proteins without residues, are refused', () => {
  const made = contents();
  const write = (changes: Partial<typeof made>) => () => writePackedStore(join(dir, 's'), { ...made, ...changes });
  assertThrowsCode(
    write({ rowsOf: () => new Float32Array(4) }),
    'RELIC_EMBEDDING_INVALID',
    /"P1".*3 numbers.*received 4/,
  );
  assertThrowsCode(write({ lengthOf: () => 0 }), 'RELIC_EMBEDDING_INVALID', /at least one residue/);
});

test('ids that the format cannot keep apart are refused', () => {
  for (const ids of [['P1', 'P1'], ['a\nb'], [''], []]) {
    assertThrowsCode(() => writePackedStore(join(dir, 's'), { ...contents(), ids }), 'RELIC_EMBEDDING_INVALID', /ids/);
  }
});

test('a disk known to be too small is an error with the bytes needed, before a row is asked for', () => {
  const made = contents();
  const { bytes } = writePackedStore(join(dir, 'before'), made);
  const statfsSync = (() => ({ blocks: 10, bavail: 1, bsize: bytes - 1 })) as unknown as typeof nodeFs.statfsSync;
  const asked: string[] = [];
  const write = () =>
    writePackedStore(
      join(dir, 's'),
      { ...made, rowsOf: (id) => made.rowsOf(asked.push(id) > 0 ? id : '') },
      { ...nodeFs, statfsSync },
    );
  assertThrowsCode(write, 'RELIC_NO_SPACE', new RegExp(`expected ${bytes} bytes free, received ${bytes - 1}`));
  deepStrictEqual(asked, []);
});

test('a disk that fills up while writing is the same error; sizes of zero mean unknown', () => {
  const statfsSync = (() => ({ blocks: 0, bavail: 0, bsize: 0 })) as unknown as typeof nodeFs.statfsSync;
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' });
  const writeSync = (() => {
    throw full;
  }) as unknown as typeof nodeFs.writeSync;
  const path = join(dir, 's');
  writePackedStore(path, contents(), { ...nodeFs, statfsSync });
  const before = readFileSync(path);
  const write = () => writePackedStore(path, contents(), { ...nodeFs, statfsSync, writeSync });
  assertThrowsCode(write, 'RELIC_NO_SPACE', /expected \d+ bytes free/);
  ok(readFileSync(path).equals(before));
  deepStrictEqual(readdirSync(dir), ['s']);
});

test('a path that cannot be a directory is an error that names it', () => {
  writeFileSync(join(dir, 'file'), '');
  const error = assertThrowsCode(() => writePackedStore(join(dir, 'file', 's'), contents()), 'RELIC_IO');
  match(error.message, /file/);
});

test.run();
