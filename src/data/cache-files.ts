/** `index.json` and `metadata.json` of an embedding cache, read and checked. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute, join, posix, win32 } from 'node:path';
import { type Problem, RelicError, shown } from '../errors.ts';
import { LISTED } from './pairs.ts';

/** What `metadata.json` says of the embeddings; the rest of it is fixed. */
export interface CacheMetadata {
  /** Such as `esm3`. */
  readonly source: string;
  readonly modelName: string;
  /** Residues at which longer proteins were cut. */
  readonly maxSequenceLength: number;
}

const INDEX = 'index.json';
const METADATA = 'metadata.json';
const FORMAT = 'torch_pt_per_protein';

/** The index, protein id to relative path, and a hash of the file. */
export function readCacheIndex(dir: string): { index: ReadonlyMap<string, string>; hash: string } {
  const { value, bytes } = readJson(dir, INDEX);
  const problems: Problem[] = [];
  for (const [id, file] of Object.entries(value)) {
    if (typeof file === 'string' && staysInside(file)) continue;
    if (problems.length < LISTED) problems.push({ where: id, message: shown(file) });
  }
  if (problems.length > 0) {
    throw new RelicError('RELIC_EMBEDDING_INVALID', 'Entries of the index do not name files in its folder', {
      where: join(dir, INDEX),
      expected: 'paths relative to the folder that do not leave it',
      problems,
      fix: 'write the index with relative paths, such as "embeddings/P12345.pt"',
    });
  }
  const hash = createHash('sha256').update(bytes).digest('hex');
  return { index: new Map(Object.entries(value as Record<string, string>)), hash };
}

/** @param dim the width the model takes. */
export function readCacheMetadata(dir: string, dim: number): CacheMetadata {
  const { value } = readJson(dir, METADATA);
  const where = join(dir, METADATA);
  const fixed = { schema_version: 1, format: FORMAT };
  for (const [key, wanted] of Object.entries(fixed)) {
    if (value[key] === wanted) continue;
    throw new RelicError('RELIC_EMBEDDING_SOURCE', `Not an embedding cache of a known layout: ${key}`, {
      where,
      expected: shown(wanted),
      received: shown(value[key]),
      fix: `write the cache in the layout ${FORMAT}, version 1`,
    });
  }
  if (value.input_dim !== dim) {
    throw new RelicError('RELIC_EMBEDDING_INVALID', 'The cached embeddings have another width than the model takes', {
      where,
      expected: `input_dim ${dim} (model_config.input_dim)`,
      received: shown(value.input_dim),
      fix: 'set model_config.input_dim to the width of the embeddings',
    });
  }
  return {
    source: String(value.source),
    modelName: String(value.model_name),
    maxSequenceLength: Number(value.max_sequence_length),
  };
}

/** By the rules of either system, so that an index means the same on both. */
function staysInside(file: string): boolean {
  const normal = posix.normalize(file.replaceAll('\\', '/'));
  const absolute = isAbsolute(file) || win32.isAbsolute(file) || /^[a-z]:/i.test(file);
  return !absolute && normal !== '.' && normal !== '..' && !normal.startsWith('../') && !file.includes('\0');
}

function readJson(dir: string, name: string): { value: Record<string, unknown>; bytes: Buffer } {
  const where = join(dir, name);
  let bytes: Buffer;
  try {
    bytes = readFileSync(where);
  } catch (error) {
    throw new RelicError('RELIC_EMBEDDING_SOURCE', `${shown(dir)} is not an embedding cache: ${name} cannot be read`, {
      received: (error as Error).message,
      fix: 'set data_config.embeddings.path to the folder with index.json and metadata.json; without embeddings, set data_config.embeddings.source to sequence (features of a FASTA file), synthetic (random) or store (a packed .safetensors)',
      cause: error,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new RelicError('RELIC_EMBEDDING_SOURCE', 'Not JSON', {
      where,
      received: (error as Error).message,
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RelicError('RELIC_EMBEDDING_SOURCE', 'Not a mapping', { where, received: shown(value) });
  }
  return { value: value as Record<string, unknown>, bytes };
}
