import type { GatherOp } from '../../../model/program.ts';
import type { Runtime } from '../runtime.ts';
import type { OpImplementation } from './op.ts';

/** Copies the embedding rows of A_0 .. A_{B-1}, B_0 .. B_{B-1} from the store. */
export const gather: OpImplementation<GatherOp> = {
  forward(op, runtime) {
    const { proteinA, proteinB } = runtime.batch;
    gatherSequences(runtime, [...proteinA, ...proteinB], op.outputs[0]);
  },

  backward() {
    // Embeddings are inputs: the autodiff asks no gradient of them.
  },
};

function gatherSequences(runtime: Runtime, proteins: readonly number[], output: number): void {
  const { store, layout } = runtime;
  const out = runtime.value(output);
  const dim = runtime.cols(output);
  proteins.forEach((protein, sequence) => {
    const at = layout.offsets[sequence] * dim;
    if (out instanceof Float32Array) store.read(protein, out, at);
    else {
      const narrow = new Float32Array(store.lengths[protein] * dim);
      store.read(protein, narrow, 0);
      out.set(narrow, at);
    }
  });
}
