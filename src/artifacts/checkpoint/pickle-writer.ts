/** Writes the pickle that torch.save makes of an OrderedDict of contiguous tensors (protocol 2). */
import { type DType, elementCount, storageName } from './tensors.ts';

/** A tensor whose data is the record `data/<key>`. */
export interface PickledTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly key: string;
}

/** The content of `data.pkl`. What repeats is stored in the memo once and recalled. */
export function pickleStateDict(tensors: readonly PickledTensor[]): Buffer {
  const parts: Buffer[] = [];
  const memo = new Map<string, number>();
  const put = (...bytes: (number | string)[]) => {
    for (const part of bytes) parts.push(typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.of(part));
  };
  const text = (value: string) => {
    const bytes = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    put('X');
    parts.push(length, bytes);
  };
  const once = (key: string, write: () => void) => {
    const index = memo.get(key);
    if (index !== undefined) return put('h', index);
    write();
    memo.set(key, memo.size);
    put('q', memo.size - 1);
  };
  const global = (module: string, name: string) => once(name, () => put(`c${module}\n${name}\n`));
  const emptyOrderedDict = () => {
    global('collections', 'OrderedDict');
    put(')R');
  };
  const integer = (value: number) => {
    if (value < 0x100) return put('K', value);
    if (value < 0x10000) return put('M', value & 0xff, value >> 8);
    // LONG1 with 8 bytes: sizes may pass 2^31.
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    put('\x8a', 8);
    parts.push(bytes);
  };
  const tuple = (values: readonly number[]) => {
    put('(');
    values.forEach(integer);
    put('t');
  };

  put('\x80', 2);
  emptyOrderedDict();
  put('(');
  for (const { name, shape, dtype, key } of tensors) {
    text(name);
    global('torch._utils', '_rebuild_tensor_v2');
    put('((');
    once("'storage'", () => text('storage'));
    global('torch', storageName(dtype));
    text(key);
    once("'cpu'", () => text('cpu'));
    integer(elementCount(shape));
    put('tQ');
    integer(0);
    tuple(shape);
    tuple(contiguousStrides(shape));
    put('\x89');
    emptyOrderedDict();
    put('tR');
  }
  put('u.');
  return Buffer.concat(parts);
}

/** Row-major strides in elements; a dimension of size 0 counts as 1, as in PyTorch. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  for (let axis = shape.length - 1, step = 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]);
  }
  return strides;
}
