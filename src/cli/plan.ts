/** The plan of a dry run in words. */
import type { SplitOverlap, SplitReport, SplitSummary } from '../data/report.ts';
import type { Plan } from '../stages/plan.ts';
import type { Estimate } from './calibrate.ts';
import { duration } from './progress.ts';
import { bytes, flops, grouped, table } from './table.ts';

export function planInWords(plan: Plan, estimate: Estimate): string {
  const { engine, embeddings, batches, model } = plan;
  const sections: [string, string][] = [
    ['stages', table(plan.stages.map(stageRow), '  ')],
    ['splits', `${table(splitRows(plan), '  ')}\n${plan.splits.overlaps.map(overlapLine).join('\n')}`],
    [
      'embeddings',
      [
        `  ${embeddings.source}`,
        `  ${grouped(embeddings.proteins)} proteins, ${grouped(embeddings.residues)} residues; ${lengthsLine(plan.splits)}`,
        `  ${embeddings.ready ? 'packed already' : 'to be packed first'}: ${bytes(embeddings.bytes)}${embeddings.path === null ? '' : ` in ${embeddings.path}`}`,
        ...plan.simulated.map((path) => `  to be simulated first: ${path}`),
      ].join('\n'),
    ],
    [
      'training',
      [
        `  ${model.name} with ${grouped(model.parameters)} parameters${plan.checkpointPath === null ? '' : `, from ${plan.checkpointPath}`}`,
        `  ${plan.epochs} epoch(s) of ${grouped(batches.train.batches)} steps, ${grouped(plan.stepsPerStage)} steps a training stage, on ${plan.ranks} rank(s)`,
        `  ${flops(plan.flops.trainStep)} a step, ${flops(plan.flops.run)} in all unless a stage stops early`,
        `  ${engine.name} engine on ${engine.device}, ${engine.threads} thread(s): ${engine.reason}`,
        `  about ${duration(estimate.seconds)} (h:mm:ss), an estimate from ${estimate.from}`,
      ].join('\n'),
    ],
  ];
  const warnings = plan.splits.warnings.map((warning) => `  ${warning}`);
  if (warnings.length > 0) sections.push(['warnings', warnings.join('\n')]);
  const text = sections.map(([title, body]) => `${title}:\n${body}`).join('\n\n');
  return `plan of ${plan.mode}, config ${plan.configHash.slice(0, 12)}; nothing was written\n\n${text}`;
}

function stageRow({ stage, logDir, modelDir, trains }: Plan['stages'][number]): string[] {
  return [stage, logDir, trains ? modelDir : ''];
}

function splitRows({ splits, batches }: Plan): string[][] {
  const header = ['split', 'pairs', 'interacting', 'proteins', 'self pairs', 'batches', 'file'];
  const row = (summary: SplitSummary): string[] => [
    summary.split,
    grouped(summary.pairs),
    `${((100 * summary.positives) / summary.pairs).toFixed(1)} %`,
    grouped(summary.proteins),
    grouped(summary.selfPairs),
    grouped(batches[summary.split].batches),
    summary.path,
  ];
  return [header, ...splits.splits.map(row)];
}

function overlapLine({ split, with: other, sharedProteins, proteins, sharedPairs }: SplitOverlap): string {
  return `  ${split} shares ${grouped(sharedProteins)} of its ${grouped(proteins)} proteins and ${grouped(sharedPairs)} pairs with ${other}`;
}

function lengthsLine({ lengths }: SplitReport): string {
  if (lengths === undefined || lengths.proteins === 0) return 'lengths not known';
  const { min, mean, max, truncated, maxLength } = lengths;
  const cut = truncated === 0 ? 'none is cut' : `${grouped(truncated)} are cut`;
  return `lengths ${min} to ${max}, mean ${mean.toFixed(0)}; ${cut} at ${maxLength}`;
}
