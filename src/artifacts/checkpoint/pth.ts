/** PyTorch files (`.pth`, `.pt`) of tensors: reads zip and older files, writes zip files as torch.save lays them out. */
import { createHash } from 'node:crypto';
import { basename, extname } from 'node:path';
import { crc32 } from 'node:zlib';
import { RelicError } from '../../errors.ts';
import { writeFileAtomic } from '../files.ts';
import { bigEndian, readLegacy } from './legacy.ts';
import { readPickle } from './pickle.ts';
import { contiguousStrides, pickleStateDict } from './pickle-writer.ts';
import { type ByteSource, bytesSource, damaged, fileSource } from './source.ts';
import {
  allocate,
  bytesOf,
  elementCount,
  elementSize,
  elementsOf,
  type NamedTensor,
  type TensorData,
  type TensorFile,
} from './tensors.ts';
import { type ArchiveContent, type StorageRef, TensorRef, TORCH_RULES } from './torch-objects.ts';
import { openZip, type ZipArchive } from './zip.ts';
import { type ZipInput, zipChunks } from './zip-writer.ts';

/** Where training programs put the state dict when they save more beside it. */
const WRAPPERS = ['model_state_dict', 'state_dict'];
const LARGEST_PICKLE = 2 ** 26;
/** Bytes that views may unfold to beyond the file's own size; a small file must not fill the memory. */
const UNFOLD_ALLOWANCE = 2 ** 28;
/** Our place for metadata, in the folder PyTorch reserves for what is not its own. */
const METADATA_RECORD = 'extra/relic.json';

/**
 * Reads the tensors of a PyTorch file: a state dict (bare, or under `model_state_dict` or `state_dict`), or one bare
 * tensor, whose name is then ''. Values that are not tensors are left out.
 * @throws RelicError RELIC_CHECKPOINT_NOT_FOUND, _INVALID (damage), _UNSAFE (asks for code), _UNSUPPORTED.
 */
export function readPth(path: string): TensorFile {
  const source = fileSource(path);
  try {
    return readPthSource(source);
  } finally {
    source.close();
  }
}

/** As {@link readPth}, from memory; `label` is what errors call it. Tensors may be views of `bytes`. */
export function readPthBytes(bytes: Uint8Array, label = 'checkpoint'): TensorFile {
  return readPthSource(bytesSource(bytes, label));
}

/** As {@link readPth}, from an opened source. */
export function readPthSource(source: ByteSource): TensorFile {
  const content = isZip(source) ? readArchive(source) : readLegacy(source);
  const storages = new Map<string, TensorData>();
  let allowance = 2 * source.size + UNFOLD_ALLOWANCE;
  const tensors = new Map<string, NamedTensor>();
  for (const [name, ref] of tensorRefs(source.label, content.root)) {
    const { storage, shape } = ref;
    const record = `${storage.dtype} ${storage.key}`;
    let data = storages.get(record);
    if (data === undefined) {
      data = loadStorage(source.label, content, storage);
      storages.set(record, data);
    } else if (data.length !== storage.length) {
      throw damaged(source.label, `storage ${JSON.stringify(storage.key)} is declared with two sizes`);
    }
    if (!isContiguous(ref)) allowance -= elementCount(shape) * elementSize(storage.dtype);
    if (allowance < 0)
      throw damaged(source.label, `tensor ${JSON.stringify(name)} unfolds to more than the file explains`);
    tensors.set(name, { name, shape, dtype: storage.dtype, data: viewed(ref, data) });
  }
  return { tensors, metadata: content.metadata };
}

/** True when the source begins as a zip archive does. */
export function isZip(source: ByteSource): boolean {
  return source.size >= 4 && Buffer.from(source.read(0, 4)).toString('latin1') === 'PK\x03\x04';
}

function readArchive(source: ByteSource): ArchiveContent {
  const archive = openZip(source);
  const root = archive.names[0]?.split('/')[0] ?? '';
  const has = (record: string) => archive.names.includes(`${root}/${record}`);
  if (has('constants.pkl'))
    throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', 'a TorchScript program, which holds code', {
      where: source.label,
      fix: 'save its tensors alone: torch.save(model.state_dict(), path)',
    });
  if (has('byteorder') && Buffer.from(archive.read(`${root}/byteorder`)).toString() !== 'little')
    throw bigEndian(source.label);
  const pickle = archive.read(`${root}/data.pkl`);
  const label = `${source.label}, data.pkl`;
  if (pickle.length > LARGEST_PICKLE) throw damaged(label, `pickle of ${pickle.length} bytes`);
  return {
    root: readPickle(pickle, label, TORCH_RULES).value,
    metadata: has(METADATA_RECORD) ? readMetadata(source.label, archive, `${root}/${METADATA_RECORD}`) : {},
    storageBytes: ({ key }) => archive.read(`${root}/data/${key}`),
  };
}

function readMetadata(label: string, archive: ZipArchive, record: string): Record<string, string> {
  try {
    const value: Record<string, unknown> = JSON.parse(Buffer.from(archive.read(record)).toString());
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [key, String(text)]));
  } catch (error) {
    throw error instanceof RelicError ? error : damaged(label, `${METADATA_RECORD} is not JSON`, error);
  }
}

function tensorRefs(label: string, root: unknown): [string, TensorRef][] {
  if (root instanceof TensorRef) return [['', root]];
  if (root instanceof Map) {
    const wrapped = WRAPPERS.map((key) => root.get(key)).find((value) => value instanceof Map);
    const found: [string, TensorRef][] = [];
    for (const [name, value] of wrapped ?? root)
      if (typeof name === 'string' && value instanceof TensorRef) found.push([name, value]);
    if (found.length > 0 || root.size === 0) return found;
  }
  throw new RelicError('RELIC_CHECKPOINT_INVALID', 'no tensors found', {
    where: label,
    expected: `a tensor or a dict of tensors (bare, or under ${WRAPPERS.join(' or ')})`,
    fix: 'save it with torch.save(model.state_dict(), path)',
  });
}

function loadStorage(label: string, content: ArchiveContent, storage: StorageRef): TensorData {
  const bytes = content.storageBytes(storage);
  const expected = storage.length * elementSize(storage.dtype);
  if (bytes.length === expected) return elementsOf(storage.dtype, bytes);
  const what = `storage ${JSON.stringify(storage.key)} has ${bytes.length} bytes`;
  throw damaged(label, `${what}, its tensors say ${expected}`);
}

function isContiguous({ shape, strides }: TensorRef): boolean {
  const expected = contiguousStrides(shape);
  return elementCount(shape) === 0 || strides.every((stride, axis) => stride === expected[axis]);
}

/** The elements of the view in row-major order: part of the storage where it is contiguous, else a copy. */
function viewed(ref: TensorRef, data: TensorData): TensorData {
  const { storage, offset, shape, strides } = ref;
  const count = elementCount(shape);
  if (isContiguous(ref)) return data.subarray(count === 0 ? 0 : offset, count === 0 ? 0 : offset + count);
  const copy = allocate(storage.dtype, count);
  const index = new Array<number>(shape.length).fill(0);
  let from = offset;
  for (let to = 0; to < count; to++) {
    copy[to] = data[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return copy;
}

/**
 * Writes `tensors` in their order as torch.save(OrderedDict) does; `torch.load(path, weights_only=True)` reads it.
 * The same tensors under the same file name give the same bytes. The file appears whole or not at all.
 * @param metadata kept in a record that PyTorch ignores and {@link readPth} gives back.
 * @throws RelicError as writeFileAtomic, and RELIC_CHECKPOINT_UNSUPPORTED from 4 GiB on.
 */
export function writePth(path: string, tensors: Iterable<NamedTensor>, metadata: Record<string, string> = {}): void {
  const root = basename(path, extname(path));
  const list = [...tensors];
  const pickled = list.map(({ name, shape, dtype }, index) => ({ name, shape, dtype, key: String(index) }));
  const records: ZipInput[] = [
    { name: `${root}/data.pkl`, data: pickleStateDict(pickled) },
    { name: `${root}/byteorder`, data: Buffer.from('little') },
    ...list.map(({ data }, index) => ({ name: `${root}/data/${index}`, data: bytesOf(data) })),
    { name: `${root}/version`, data: Buffer.from('3\n') },
  ];
  if (Object.keys(metadata).length > 0)
    records.push({ name: `${root}/${METADATA_RECORD}`, data: Buffer.from(JSON.stringify(metadata)) });
  records.push({ name: `${root}/.data/serialization_id`, data: serializationId(records) });
  writeFileAtomic(path, zipChunks(records));
}

/** Forty digits that follow from the content, where PyTorch puts a hash of its own. */
function serializationId(records: readonly ZipInput[]): Buffer {
  const hash = createHash('sha256');
  for (const { name, data } of records) hash.update(`${name} ${crc32(data)}\n`);
  const digits = BigInt(`0x${hash.digest('hex')}`).toString();
  return Buffer.from(digits.padStart(40, '0').slice(-40));
}
