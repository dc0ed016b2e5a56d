/** Reads what torch.save wrote before PyTorch 1.6: five pickles in a row, then the storages (torch/serialization.py). */
import { RelicError } from '../../errors.ts';
import { readPickle } from './pickle.ts';
import { type ByteSource, damaged } from './source.ts';
import { elementSize } from './tensors.ts';
import { type ArchiveContent, type StorageRef, TORCH_RULES } from './torch-objects.ts';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** Throws as readPickle does, and RELIC_CHECKPOINT_UNSUPPORTED for a pickle that torch.save did not write. */
export function readLegacy(source: ByteSource): ArchiveContent {
  const bytes = source.read(0, source.size);
  const storages = new Map<string, StorageRef>();
  const persistent = (id: unknown): StorageRef => {
    const storage = TORCH_RULES.persistent(id) as StorageRef;
    storages.set(storage.key, storage);
    return storage;
  };
  let at = 0;
  const next = () => {
    const { value, end } = readPickle(bytes, source.label, { ...TORCH_RULES, persistent }, at);
    at = end;
    return value;
  };
  if (next() !== MAGIC || next() !== PROTOCOL)
    throw new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', 'a pickle that torch.save did not write', {
      where: source.label,
      fix: 'save the tensors with torch.save(model.state_dict(), path)',
    });
  const system = next();
  if (system instanceof Map && system.get('little_endian') === false) throw bigEndian(source.label);
  const root = next();
  const keys = next();
  if (!Array.isArray(keys)) throw damaged(source.label, 'the list of storages is not a list');
  const places = placeStorages(source, bytes, at, keys, storages);
  return {
    root,
    metadata: {},
    storageBytes: ({ key }) => {
      const place = places.get(key);
      if (place === undefined) throw damaged(source.label, `storage ${JSON.stringify(key)} is missing`);
      return place;
    },
  };
}

/** Each storage is its number of elements as an int64, then the elements. */
function placeStorages(
  source: ByteSource,
  bytes: Uint8Array,
  start: number,
  keys: readonly unknown[],
  storages: ReadonlyMap<string, StorageRef>,
): Map<string, Uint8Array> {
  const places = new Map<string, Uint8Array>();
  let at = start;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (storage === undefined) throw damaged(source.label, 'a storage is listed that no tensor uses');
    const count = Buffer.from(source.read(at, 8)).readBigInt64LE();
    if (count !== BigInt(storage.length))
      throw damaged(source.label, `storage at byte ${at} has ${count} elements instead of ${storage.length}`);
    const length = storage.length * elementSize(storage.dtype);
    places.set(storage.key, source.read(at + 8, length));
    at += 8 + length;
  }
  if (at !== bytes.length) throw damaged(source.label, `${bytes.length - at} bytes follow the last storage`);
  return places;
}

/** The error for files of machines that put the high byte first. */
export function bigEndian(label: string): RelicError {
  return new RelicError('RELIC_CHECKPOINT_UNSUPPORTED', 'the file was written on a big-endian machine', {
    where: label,
    fix: 'load and save it again with PyTorch on a little-endian machine',
  });
}
