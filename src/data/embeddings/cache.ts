/** The per-protein `.pt` files that RELIC's embedding tools write: `index.json`, `metadata.json` and the files. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { checkFinite } from '../../artifacts/check-rows.ts';
import { readPth } from '../../artifacts/checkpoint/pth.ts';
import { type NamedTensor, toFloat32 } from '../../artifacts/checkpoint/tensors.ts';
import { RelicError, shown } from '../../errors.ts';
import { type CacheMetadata, readCacheIndex, readCacheMetadata } from '../cache-files.ts';
import type { EmbeddingSource } from './source.ts';

const FLOATS: readonly string[] = ['float32', 'float16', 'bfloat16', 'float64'];

/** One float tensor `[L, dim]` (or `[1, L, dim]`) a protein, read when it is asked for. */
export class CacheSource implements EmbeddingSource {
  readonly name = 'cache';
  readonly dim: number;
  private readonly dir: string;
  private readonly metadata: CacheMetadata;
  /** Protein id to a path relative to `dir`. */
  private readonly index: ReadonlyMap<string, string>;
  private readonly indexHash: string;
  private readonly lengths = new Map<string, number>();

  /**
   * @param options.dir the folder. @param options.dim the width the model takes (`model_config.input_dim`).
   * @throws RELIC_EMBEDDING_SOURCE when the folder is no such cache; RELIC_EMBEDDING_INVALID when its width is
   *   another or its index leaves the folder.
   */
  constructor({ dir, dim }: { readonly dir: string; readonly dim: number }) {
    this.dir = dir;
    this.dim = dim;
    const { index, hash } = readCacheIndex(dir);
    this.index = index;
    this.indexHash = hash;
    this.metadata = readCacheMetadata(dir, dim);
  }

  /** Of the two JSON files, and of the size and modification time of each embedding file. */
  get fingerprint(): string {
    const hash = createHash('sha256').update(`cache-v1\n${this.indexHash}\n${JSON.stringify(this.metadata)}\n`);
    for (const file of this.index.values()) {
      const stat = statSync(join(this.dir, file), { throwIfNoEntry: false });
      hash.update(`${file}\n${stat?.size} ${stat?.mtimeMs}\n`);
    }
    return hash.digest('hex');
  }

  has(id: string): boolean {
    return this.index.has(id);
  }

  length(id: string): number {
    const known = this.lengths.get(id);
    return known ?? this.rows(id).length / this.dim;
  }

  /** @throws RELIC_EMBEDDING_INVALID naming protein and file; RELIC_CHECKPOINT_UNSAFE for a file that asks for code. */
  rows(id: string): Float32Array {
    const file = this.fileOf(id);
    const tensor = readTensor(id, file);
    const shape = tensor.shape.length === 3 && tensor.shape[0] === 1 ? tensor.shape.slice(1) : tensor.shape;
    if (shape.length !== 2 || shape[1] !== this.dim || shape[0] === 0 || !FLOATS.includes(tensor.dtype)) {
      throw new RelicError('RELIC_EMBEDDING_INVALID', `Embedding of protein ${shown(id)} has a wrong shape or type`, {
        where: file,
        expected: `a float tensor [L, ${this.dim}] with L >= 1`,
        received: `${tensor.dtype} [${tensor.shape.join(', ')}]`,
        fix: 'compute it again, or set model_config.input_dim to its width',
      });
    }
    const rows = toFloat32(tensor);
    checkFinite({ protein: id, rows, dim: this.dim, where: file });
    this.lengths.set(id, shape[0]);
    return rows;
  }

  describe(): string {
    const { source, modelName, maxSequenceLength } = this.metadata;
    return `cache: ${this.index.size} proteins of ${source} (${modelName}), width ${this.dim}, at most ${maxSequenceLength} residues, in ${this.dir}`;
  }

  private fileOf(id: string): string {
    const file = this.index.get(id);
    if (file !== undefined) return join(this.dir, file);
    throw new RelicError('RELIC_EMBEDDING_MISSING', `No embedding of protein ${shown(id)}`, {
      where: join(this.dir, 'index.json'),
      fix: 'add it to the cache, or take its pairs out',
    });
  }
}

function readTensor(id: string, file: string): NamedTensor {
  let tensors: NamedTensor[];
  try {
    tensors = [...readPth(file).tensors.values()];
  } catch (error) {
    const unsafe = error instanceof RelicError && error.code === 'RELIC_CHECKPOINT_UNSAFE';
    const [reason] = (error as Error).message.split('\n');
    throw new RelicError(
      unsafe ? 'RELIC_CHECKPOINT_UNSAFE' : 'RELIC_EMBEDDING_INVALID',
      `Embedding of protein ${shown(id)} cannot be read`,
      { where: file, received: reason.replace(`${file}: `, ''), fix: 'compute it again', cause: error },
    );
  }
  if (tensors.length === 1) return tensors[0];
  throw new RelicError('RELIC_EMBEDDING_INVALID', `Embedding of protein ${shown(id)} is not one tensor`, {
    where: file,
    expected: 'one tensor, as torch.save(tensor, path) writes it',
    received: `${tensors.length} tensors`,
  });
}
