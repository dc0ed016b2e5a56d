/**
 * Scoring encodes each protein once: the leading ops that see one sequence at a time run for new proteins only, and
 * their output rows are kept until the parameters change. Above a limit of kept bytes, the rows are simply forgotten.
 */
import { type SequencePrefix, sequencePrefix } from '../../model/inference.ts';
import type { Program } from '../../model/program.ts';
import type { Batch } from '../engine.ts';
import { layoutOfSequences } from '../layout.ts';
import type { Reals } from './matmul.ts';
import { implementationOf } from './ops/registry.ts';
import type { Runtime } from './runtime.ts';

const LIMIT_BYTES = 512 * 1024 * 1024;

export class EncodedProteins {
  private readonly program: Program;
  private readonly runtime: Runtime;
  private readonly prefix: SequencePrefix | undefined;
  private readonly rows = new Map<number, Reals>();
  private bytes = 0;

  /** @param program an inference program */
  constructor(program: Program, runtime: Runtime) {
    this.program = program;
    this.runtime = runtime;
    this.prefix = sequencePrefix(program);
  }

  /** Encodes the proteins of a batch that are not kept yet; returns the first op that is left to run. */
  prepare({ proteinA, proteinB }: Batch): number {
    const { prefix, runtime } = this;
    if (prefix === undefined) return 0;
    if (this.bytes > LIMIT_BYTES) this.clear();
    const fresh = [...new Set([...proteinA, ...proteinB])].filter((protein) => !this.rows.has(protein));
    if (fresh.length > 0) {
      // As a batch of A sides alone: the layout has no B sequence.
      runtime.batch = { proteinA: Int32Array.from(fresh), proteinB: new Int32Array(0), labels: new Float32Array(0) };
      runtime.layout = layoutOfSequences([runtime.batch.proteinA, runtime.batch.proteinB], runtime.store.lengths);
      for (const op of this.program.ops.slice(0, prefix.ops)) implementationOf(op).forward(op, runtime);
      const { offsets } = runtime.layout;
      const encoded = runtime.value(prefix.output);
      const cols = runtime.cols(prefix.output);
      fresh.forEach((protein, i) => {
        const rows = encoded.slice(offsets[i] * cols, offsets[i + 1] * cols);
        this.rows.set(protein, rows);
        this.bytes += rows.byteLength;
      });
    }
    return prefix.ops;
  }

  /** Writes the kept rows of a prepared batch, which the runtime is bound to, where the remaining ops read them. */
  place({ proteinA, proteinB }: Batch): void {
    if (this.prefix === undefined) return;
    const out = this.runtime.value(this.prefix.output);
    let at = 0;
    for (const protein of [...proteinA, ...proteinB]) {
      const rows = this.rows.get(protein)!;
      out.set(rows, at);
      at += rows.length;
    }
  }

  clear(): void {
    this.rows.clear();
    this.bytes = 0;
  }

  memory(): number {
    return this.bytes;
  }
}
