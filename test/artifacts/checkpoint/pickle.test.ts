import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type PickleRules, PickleTuple, readPickle } from '../../../src/artifacts/checkpoint/pickle.ts';
import { pickleStateDict } from '../../../src/artifacts/checkpoint/pickle-writer.ts';
import { TORCH_RULES } from '../../../src/artifacts/checkpoint/torch-objects.ts';
import { RelicError } from '../../../src/errors.ts';
import { assertThrowsCode } from '../../assert.ts';
import { long, pickle, u32, unicode } from './hostile.ts';

const test = suite('checkpoint/pickle');
const NONE: PickleRules = { globals: new Map() };
const read = (...parts: (string | Buffer)[]) => readPickle(pickle(...parts), 'f.pth', NONE).value;

test('plain values', () => {
  const items = ['N\x88\x89', 'K\xff', 'M\x01\x02', 'J\xfe\xff\xff\xff', 'G?\xf8\0\0\0\0\0\0', unicode('é'), 'U\x01x'];
  assert.equal(read('\x80\x02](', ...items, 'e.'), [null, true, false, 255, 513, -2, 1.5, 'é', 'x']);
});

test('long integers of every width', () => {
  assert.is(read('\x8a\x00.'), 0);
  assert.is(read('\x8a\x01\xff.'), -1);
  assert.is(read(long(2 ** 40), '.'), 2 ** 40);
  assert.is(read(long(2n ** 62n), '.'), 2n ** 62n);
  assert.is(read('\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'), 0x1950a86a20f9469cfc6cn);
});

test('tuples, lists, dicts and the memo', () => {
  const value = read('}q\x00(', unicode('t'), 'K\x01K\x02\x86q\x01', unicode('again'), 'h\x01u.') as Map<
    string,
    unknown
  >;
  assert.equal(value.get('t'), new PickleTuple([1, 2]));
  assert.is(value.get('t'), value.get('again'));
  assert.equal(
    read('K\x01\x85K\x02K\x03K\x04\x87\x86.'),
    new PickleTuple([new PickleTuple([1]), new PickleTuple([2, 3, 4])]),
  );
  assert.equal(read(']K\x01a.'), [1]);
  assert.equal(
    read('}K\x01K\x02sr', u32(70_000), 'j', u32(70_000), '\x86.'),
    new PickleTuple([new Map([[1, 2]]), new Map([[1, 2]])]),
  );
});

test('protocol 4: frames, short strings, memoize and globals from the stack', () => {
  const rules = { globals: new Map([['m n', { name: 'n' }]]) };
  const bytes = pickle('\x80\x04\x95\0\0\0\0\0\0\0\0\x8c\x01m\x94\x8c\x01n\x94\x93h\x00\x86.');
  assert.equal(readPickle(bytes, 'f', rules).value, new PickleTuple([{ name: 'n' }, 'm']));
});

test('the end tells where the next pickle starts', () => {
  const bytes = pickle('K\x01.K\x02.');
  const first = readPickle(bytes, 'f', NONE);
  assert.is(first.end, 3);
  assert.is(readPickle(bytes, 'f', NONE, first.end).value, 2);
});

const HOSTILE: [string, string | Buffer, RegExp][] = [
  ['os.system, protocol 2', pickle('\x80\x02cposix\nsystem\n', unicode('touch x'), '\x85R.'), /"posix\.system".*/],
  ['os.system, protocol 4', '\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x02id\x85R.', /"posix\.system"/],
  ['eval', pickle('c__builtin__\neval\n', unicode('1+1'), '\x85R.'), /"__builtin__\.eval"/],
  ['a permitted module, another name', 'ctorch\nload\n.', /"torch\.load"/],
  ['a name that hides a space', 'ccollections\nOrderedDict \n.', /OrderedDict "/],
  ['a name of the language itself', 'c__proto__\nconstructor\n.', /"__proto__\.constructor"/],
  ['a dotted way out', 'ctorch._utils\n_rebuild_tensor_v2.__globals__\n.', /__globals__/],
];

for (const [what, bytes, message] of HOSTILE) {
  test(`${what} is refused by name, at its place, unexecuted`, () => {
    const error = assertThrowsCode(
      () => readPickle(pickle(bytes), 'f.pth', TORCH_RULES),
      'RELIC_CHECKPOINT_UNSAFE',
      message,
    );
    assert.match(error.message, /^f\.pth, byte \d+: .*nothing was executed/);
  });
}

test('opcodes that build objects are not known', () => {
  for (const opcode of ['i', 'o', '\x81', '\x92', '\x82', 'P', 'S', 'I', '\x8b', '\0', '\xff'])
    assertThrowsCode(
      () => read('N)', opcode, 'os\nsystem\n.'),
      'RELIC_CHECKPOINT_UNSUPPORTED',
      /byte 2: pickle opcode 0x/,
    );
});

const BROKEN: [string, string | Buffer, RegExp][] = [
  ['nothing', '', /byte 0: pickle ends in the middle/],
  ['no STOP', 'K\x01', /byte 2: pickle ends in the middle/],
  ['STOP on an empty stack', '.', /empty stack/],
  ['a text longer than the file', pickle('X', u32(0xffffffff), 'abc.'), /ends in the middle/],
  ['a name without an end', 'ctorch', /middle of a name/],
  ['a memo never stored', 'h\x05.', /byte 0: pickle recalls memo 5/],
  ['a memo of nothing', 'q\x00.', /empty stack/],
  ['a memo inside an empty group', 'N(q\x00.', /empty stack/],
  ['a group never opened', 'Nt.', /did not open/],
  ['values taken across a group', 'N(\x85.', /empty stack/],
  ['an append to a number', 'K\x01K\x02a.', /not a list/],
  ['an append to a tuple', ')K\x02a.', /not a list/],
  ['items of a list', ']K\x01K\x02s.', /not a dict/],
  ['half an item', '}(K\x01u.', /not a dict/],
  ['a call of a number', 'K\x01)R.', /cannot be called/],
  ['a call of a text', pickle(unicode('toString'), ')R.'), /cannot be called/],
  ['attributes of a list', '])b.', /attributes/],
  ['a persistent id', 'K\x01Q.', /refers to data outside/],
  ['protocol 200', '\x80\xc8N.', /protocol 200/],
  ['groups in groups', '('.repeat(2000), /nested more than 1000 deep/],
  ['a global that is no text', 'NN\x93.', /by no text/],
];

for (const [what, bytes, message] of BROKEN)
  test(`${what} is damage`, () => void assertThrowsCode(() => read(bytes), 'RELIC_CHECKPOINT_INVALID', message));

test('a list that holds itself, or a million lists in each other, neither hangs nor overflows', () => {
  const self = read(']q\x00h\x00a.') as unknown[];
  assert.is(self[0], self);
  assert.ok(Array.isArray(read(']'.repeat(1_000_000), 'a'.repeat(999_999), '.')));
});

test('an endless program is cut off', () => {
  const bytes = Buffer.alloc(4_000_002, ']');
  assertThrowsCode(() => readPickle(bytes, 'f', NONE), 'RELIC_CHECKPOINT_INVALID', /more than 4000000 opcodes/);
});

test('flipped bytes of a state dict throw nothing but RelicError', () => {
  const valid = pickleStateDict([
    { name: 'a.weight', shape: [2, 300], dtype: 'float32', key: '0' },
    { name: 'a.count', shape: [], dtype: 'int64', key: '1' },
  ]);
  const place = fc.nat({ max: valid.length - 1 });
  fc.assert(
    fc.property(fc.array(fc.tuple(place, fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 }), (changes) => {
      const bytes = Buffer.from(valid);
      for (const [at, value] of changes) bytes[at] = value;
      try {
        readPickle(bytes, 'f', TORCH_RULES);
      } catch (error) {
        assert.instance(error, RelicError);
      }
    }),
    { numRuns: 3000, seed: 1 },
  );
});

test('random programs throw nothing but RelicError', () => {
  const opcodes = 'NK\x88)]}(tue\x85\x86Rbqhas.\x94Q'.split('');
  const step = fc.oneof(
    fc.constantFrom(...opcodes, 'ccollections\nOrderedDict\n'),
    fc.nat({ max: 3 }).map(String.fromCharCode),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      try {
        readPickle(pickle(...steps, '.'), 'f', TORCH_RULES);
      } catch (error) {
        assert.instance(error, RelicError);
      }
    }),
    { numRuns: 3000, seed: 2 },
  );
});

test.run();
