/**
 * Scoring encodes each protein once: the leading ops that see one sequence at a time run for new proteins only, and
 * their output rows are kept until the parameters change. Rows beyond a limit of bytes are held for one batch alone.
 */
import { type SequencePrefix, sequencePrefix } from '../../model/inference.ts';
import type { Program } from '../../model/program.ts';
import type { Batch } from '../engine.ts';
import { layoutOfSequences } from '../layout.ts';
import type { Reals } from './matmul.ts';
import { implementationOf } from './ops/registry.ts';
import type { Runtime } from './runtime.ts';

export class EncodedProteins {
  private readonly program: Program;
  private readonly runtime: Runtime;
  private readonly prefix: SequencePrefix | undefined;
  private readonly limitBytes: number;
  private readonly kept = new Map<number, Reals>();
  private keptBytes = 0;
  /** Rows of the batch before that there was no room for. */
  private readonly passing = new Map<number, Reals>();

  /** @param program an inference program */
  constructor(program: Program, runtime: Runtime, limitBytes: number) {
    this.program = program;
    this.runtime = runtime;
    this.prefix = sequencePrefix(program);
    this.limitBytes = limitBytes;
  }

  /** Encodes the proteins of a batch that are not kept yet; returns the first op that is left to run. */
  prepare({ proteinA, proteinB }: Batch): number {
    const { prefix, runtime } = this;
    if (prefix === undefined) return 0;
    this.passing.clear();
    const fresh = [...new Set([...proteinA, ...proteinB])].filter((protein) => !this.kept.has(protein));
    if (fresh.length > 0) {
      // As a batch of A sides alone: the layout has no B sequence.
      runtime.batch = { proteinA: Int32Array.from(fresh), proteinB: new Int32Array(0), labels: new Float32Array(0) };
      runtime.layout = layoutOfSequences([runtime.batch.proteinA, runtime.batch.proteinB], runtime.store.lengths);
      for (const op of this.program.ops.slice(0, prefix.ops)) implementationOf(op).forward(op, runtime);
      const { offsets } = runtime.layout;
      const encoded = runtime.value(prefix.output);
      const cols = runtime.cols(prefix.output);
      fresh.forEach((protein, i) => {
        this.hold(protein, encoded.slice(offsets[i] * cols, offsets[i + 1] * cols));
      });
    }
    return prefix.ops;
  }

  private hold(protein: number, rows: Reals): void {
    const fits = this.keptBytes + rows.byteLength <= this.limitBytes;
    (fits ? this.kept : this.passing).set(protein, rows);
    if (fits) this.keptBytes += rows.byteLength;
  }

  /** Writes the rows of a prepared batch, which the runtime is bound to, where the remaining ops read them. */
  place({ proteinA, proteinB }: Batch): void {
    if (this.prefix === undefined) return;
    const out = this.runtime.value(this.prefix.output);
    let at = 0;
    for (const protein of [...proteinA, ...proteinB]) {
      const rows = (this.kept.get(protein) ?? this.passing.get(protein))!;
      out.set(rows, at);
      at += rows.length;
    }
  }

  clear(): void {
    this.kept.clear();
    this.keptBytes = 0;
    this.passing.clear();
  }

  memory(): number {
    let bytes = this.keptBytes;
    for (const { byteLength } of this.passing.values()) bytes += byteLength;
    return bytes;
  }
}
