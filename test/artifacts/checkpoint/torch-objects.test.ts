import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPickle } from '../../../src/artifacts/checkpoint/pickle.ts';
import { StorageRef, TensorRef, TORCH_RULES } from '../../../src/artifacts/checkpoint/torch-objects.ts';
import { assertThrowsCode } from '../../assert.ts';
import { long, pickle, tensor, unicode } from './hostile.ts';

const test = suite('checkpoint/torch-objects');
const read = (...parts: (string | Buffer)[]) => readPickle(pickle(...parts, '.'), 'f.pth', TORCH_RULES).value;

test('a tensor is a view of a storage', () => {
  assert.equal(
    read(tensor(12, 2, [2, 3], [1, 4])),
    new TensorRef(new StorageRef('0', 'float32', 12), 2, [2, 3], [1, 4]),
  );
});

test('a view that just fits, an empty one, and a scalar', () => {
  for (const view of [tensor(6, 0, [2, 3], [3, 1]), tensor(0, 0, [0, 3], [3, 1]), tensor(1, 0, [], [])])
    assert.instance(read(view), TensorRef);
});

test('views that leave their storage are refused', () => {
  const message = /outside its storage|not counts|do not fit together/;
  for (const view of [
    tensor(6, 1, [2, 3], [3, 1]),
    tensor(6, 0, [2, 3], [4, 1]),
    tensor(6, 0, [2, 3], [2n ** 52n, 1]),
    tensor(6, 0, [2 ** 40, 2 ** 40], [0, 0]),
    tensor(6, -1, [2], [1]),
    tensor(6, 0, [-2], [1]),
    tensor(6, 0, [2], [-1]),
    tensor(6, 0, [2], [1, 1]),
    tensor(6, 0, [2n ** 62n], [0]),
    tensor(6, 0, new Array(65).fill(1), new Array(65).fill(1)),
    tensor(0, 0, [], []),
  ])
    assertThrowsCode(() => read(view), 'RELIC_CHECKPOINT_INVALID', message);
});

const REBUILD = 'ctorch._utils\n_rebuild_tensor_v2\n';
const storage = (type: string | Buffer, ...rest: (string | Buffer)[]) =>
  pickle('(', unicode('storage'), type, unicode('0'), unicode('cpu'), 'K\x04', ...rest, 'tQ');

test('arguments of the wrong kind are damage', () => {
  for (const bytes of [
    pickle(REBUILD, ')R'),
    pickle(REBUILD, 'N', long(0), ')', '\x87R'),
    pickle(REBUILD, '(', storage('ctorch\nFloatStorage\n'), 'K\x00', unicode('ab'), ')tR'),
    storage('ctorch\nfloat32\n'),
    storage(unicode('FloatStorage')),
    storage('N'),
    storage('ctorch\nFloatStorage\n', 'K\x01'),
    pickle(unicode('storage'), 'Q'),
    pickle('ctorch._utils\n_rebuild_parameter\n', 'N\x85R'),
    pickle('ccollections\nOrderedDict\n', 'N\x85R'),
    pickle('ctorch\nfloat32\n', ')R'),
  ])
    assertThrowsCode(() => read(bytes), 'RELIC_CHECKPOINT_INVALID', /f\.pth, byte \d+/);
});

test('a storage class that does not exist here is refused by name', () => {
  assertThrowsCode(() => read(storage('ctorch\nQInt8Storage\n')), 'RELIC_CHECKPOINT_UNSAFE', /torch\.QInt8Storage/);
});

test.run();
