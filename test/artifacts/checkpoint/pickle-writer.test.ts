import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readPickle } from '../../../src/artifacts/checkpoint/pickle.ts';
import { contiguousStrides, pickleStateDict } from '../../../src/artifacts/checkpoint/pickle-writer.ts';
import { StorageRef, TensorRef, TORCH_RULES } from '../../../src/artifacts/checkpoint/torch-objects.ts';

const test = suite('checkpoint/pickle-writer');

test('names, shapes, dtypes and order come back, with sizes of every width', () => {
  const shapes = [[], [3], [0, 3], [2, 300], [70_000], [3, 2 ** 31, 2]];
  const dtypes = ['float32', 'int64', 'bool', 'bfloat16', 'float16', 'uint8'] as const;
  const tensors = shapes.map((shape, i) => ({ name: `layer.${i}.größe`, shape, dtype: dtypes[i], key: String(i) }));
  const { value } = readPickle(pickleStateDict(tensors), 'f', TORCH_RULES);
  const expected = tensors.map(({ name, shape, dtype, key }) => {
    const length = shape.reduce((a, b) => a * b, 1);
    return [name, new TensorRef(new StorageRef(key, dtype, length), 0, shape, contiguousStrides(shape))] as const;
  });
  assert.equal([...(value as Map<unknown, unknown>)], expected);
});

test('an empty state dict', () => {
  assert.equal(readPickle(pickleStateDict([]), 'f', TORCH_RULES).value, new Map());
});

test('strides are those of PyTorch', () => {
  assert.equal(contiguousStrides([2, 3, 4]), [12, 4, 1]);
  assert.equal(contiguousStrides([2, 0, 4]), [4, 4, 1]);
  assert.equal(contiguousStrides([]), []);
});

test.run();
