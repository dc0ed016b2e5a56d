/** Matrix products at the shapes of V3's linear layers, beside OpenBLAS and oneDNN in one process. */
import { join } from 'node:path';
import { geometricMean, nativePrograms, table, trial } from './trial.mjs';

export const title = 'Matrix products';
export const NEEDS = [];

const WANTED = 0.85;
const FORMS = ['y', 'dx', 'dw'];

export function measure({ rounds, threads, isa, bf16, match }) {
  const program = join(nativePrograms(), 'bench_gemm');
  const tables = [...new Set([1, threads])].map((count) => {
    console.error(`gemm: ${count} threads`);
    const { results } = trial(program, [count, rounds, isa, 'json']);
    return tableOf(
      count,
      isa,
      bf16,
      results.filter(({ name }) => name.includes(match)),
    );
  });
  const body = `GFLOP/s of y = x Wᵀ, dx = dy W and dw = dyᵀ x, x being (rows, in) and W (out, in): ours in float32, and the ratio to the best
library of the same run. A ratio is the median of those of ${rounds} rounds, for each library, and then the smaller of them; wanted is
${WANTED}. ${bf16 === undefined ? '' : `"bf16" is ours with bfloat16 factors, by the ${bf16} kernels, which has no peer here. `}One thread is timed by its own clock, several by the wall's.

The head has few rows, so its dx uses each of 590,000 weights for 32 operations only. On an Intel Xeon with 2 MB of second-level
cache it reached 0.78 of oneDNN: fetching weights ahead gained a tenth, other depths of blocks or distances nothing. With
weights that fit that cache the ratio was about 0.85, with more of them it was lower.

${tables.join('\n\n')}`;
  return { body };
}

function tableOf(threads, isa, bf16, results) {
  const libraries = Object.keys(results[0].ratios);
  if (libraries.length === 0) throw new Error('neither OpenBLAS nor oneDNN can be opened: name them in RELIC_BLAS');
  const toBest = ({ ratios }) => Math.min(...Object.values(ratios));
  const shapes = [...new Set(results.map(({ name }) => name))];
  const rows = shapes.map((shape) => {
    const forms = FORMS.map((form) => results.find((each) => each.name === shape && each.form === form));
    const [{ rows: count, out, in: depth }] = forms;
    const cells = forms.flatMap((each) => [
      each.gflops[isa].toFixed(0),
      each.gflops[`${bf16} bf16`]?.toFixed(0) ?? '',
      ...libraries.map((library) => each.gflops[library].toFixed(0)),
      toBest(each).toFixed(2),
    ]);
    return [shape, `${count} x ${out} x ${depth}`, ...cells];
  });
  const columns = FORMS.flatMap((form) => [`${form} fp32`, 'bf16', ...libraries, 'ratio']);
  const ratios = results.map(toBest);
  const worst = results[ratios.indexOf(Math.min(...ratios))];
  const below = ratios.filter((ratio) => ratio < WANTED).length;
  return `${threads === 1 ? 'One thread' : `${threads} threads`}: the geometric mean of the ratios is ${geometricMean(ratios).toFixed(2)}, the smallest ${Math.min(...ratios).toFixed(2)} (${worst.name} ${worst.form}); ${below} of ${ratios.length} are
below ${WANTED}.

${table(['Layer', 'rows x out x in', ...columns], rows)}`;
}
