/** The names a PyTorch file may use, and the plain data they build: references to strided views of storages. */
import { type PickleGlobal, type PickleRules, PickleTuple } from './pickle.ts';
import { type DType, dtypeNames, elementCount, storageName } from './tensors.ts';

/** A block of numbers, named by its key among the file's data records. */
export class StorageRef {
  readonly key: string;
  readonly dtype: DType;
  /** Elements. */
  readonly length: number;
  constructor(key: string, dtype: DType, length: number) {
    this.key = key;
    this.dtype = dtype;
    this.length = length;
  }
}

/** A view: element (i, j, ..) is at `offset + i*strides[0] + j*strides[1] ..` of the storage; all inside it. */
export class TensorRef {
  readonly storage: StorageRef;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  constructor(storage: StorageRef, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** An unpickled file whose numbers are not read yet. */
export interface ArchiveContent {
  readonly root: unknown;
  readonly metadata: Record<string, string>;
  /** The bytes of a storage. Throws when the file has none for it. */
  storageBytes(storage: StorageRef): Uint8Array;
}

const LARGEST_RANK = 64;
const STORAGES = new Map(dtypeNames.map((dtype) => [`torch.${storageName(dtype)}`, dtype]));

/** The names used by torch.save for tensors, parameters, and dicts of them (torch/_utils.py). */
export const TORCH_RULES: Required<PickleRules> = { globals: torchGlobals(), persistent: resolveStorage };

function torchGlobals(): ReadonlyMap<string, PickleGlobal> {
  const globals: [string, PickleGlobal][] = [
    ['collections OrderedDict', { name: 'OrderedDict', call: orderedDict }],
    ['torch._utils _rebuild_tensor_v2', { name: '_rebuild_tensor_v2', call: rebuildTensor }],
    ['torch._utils _rebuild_parameter', { name: '_rebuild_parameter', call: rebuildParameter }],
  ];
  for (const dtype of dtypeNames) {
    globals.push([`torch ${dtype}`, { name: `torch.${dtype}` }]);
    globals.push([`torch ${storageName(dtype)}`, { name: `torch.${storageName(dtype)}` }]);
  }
  return new Map(globals);
}

/** `OrderedDict()`; its items follow as SETITEMS. */
function orderedDict(args: readonly unknown[]): Map<unknown, unknown> {
  if (args.length !== 0) throw new Error('OrderedDict with arguments');
  return new Map();
}

/** `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks, metadata=None)`. */
function rebuildTensor(args: readonly unknown[]): TensorRef {
  const [storage, offset, size, stride] = args;
  if (!(storage instanceof StorageRef)) throw new Error('tensor without a storage');
  const shape = sizes(size);
  const strides = sizes(stride);
  if (!isSize(offset) || shape.length !== strides.length)
    throw new Error(`tensor with offset, shape [${shape}] and strides [${strides}] that do not fit together`);
  const count = elementCount(shape);
  const last = shape.reduce((at, length, axis) => at + (length - 1) * strides[axis], offset);
  if (!Number.isSafeInteger(count) || (count > 0 && last >= storage.length))
    throw new Error(`tensor of shape [${shape}] outside its storage of ${storage.length} elements`);
  return new TensorRef(storage, offset, shape, strides);
}

/** `_rebuild_parameter(data, requires_grad, backward_hooks)`. */
function rebuildParameter([data]: readonly unknown[]): TensorRef {
  if (!(data instanceof TensorRef)) throw new Error('parameter without a tensor');
  return data;
}

/** `('storage', storage class, key, location, elements)`; old files add a view, which PyTorch has written as None since 0.4. */
function resolveStorage(id: unknown): StorageRef {
  const [kind, type, key, , length, view] = id instanceof PickleTuple ? id.items : [];
  const dtype = STORAGES.get((type as PickleGlobal | null | undefined)?.name ?? '');
  if (kind !== 'storage' || dtype === undefined || typeof key !== 'string' || !isSize(length))
    throw new Error('reference to data that is not a storage');
  if (view !== undefined && view !== null) throw new Error('storage that is a view of another');
  return new StorageRef(key, dtype, length);
}

function sizes(value: unknown): readonly number[] {
  const items = value instanceof PickleTuple ? value.items : value;
  if (!Array.isArray(items) || items.length > LARGEST_RANK || !items.every(isSize))
    throw new Error('tensor sizes that are not counts');
  return items;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
