import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureDirectory, writeFileAtomic } from '../../artifacts/files.ts';
import { simulationFiles } from '../../data/simulate.ts';
import { SIMULATE_DEFAULTS } from '../../data/simulate-options.ts';
import { RelicError } from '../../errors.ts';
import { command } from '../command.ts';

const defaults = SIMULATE_DEFAULTS;

export const simulate = command({
  details: [
    'Proteins carry domains, and two proteins interact when their domains do. Writes a FASTA file and the pair files',
    'of the three splits. The same options give the same bytes everywhere. Files that are there already with other',
    'content are left alone unless --force is given.',
  ].join('\n'),
  examples: [
    'relic-train simulate --out data/demo',
    'relic-train simulate --out data/unseen --proteins 400 --pairs 4000 --disjoint --seed 1',
  ],
  options: {
    out: { type: 'text', value: 'DIR', required: true, description: 'directory to write to; made if missing' },
    proteins: { type: 'integer', value: 'N', description: `proteins (${defaults.proteins})` },
    pairs: {
      type: 'integer',
      value: 'N',
      description: `pairs of all splits, half of them interact (${defaults.pairs})`,
    },
    domains: { type: 'integer', value: 'N', description: `domain families (${defaults.domains})` },
    seed: { type: 'integer', value: 'N', description: `decides everything that is drawn (${defaults.seed})` },
    disjoint: { type: 'flag', description: 'no protein in two splits; otherwise only no pair is' },
    'min-length': { type: 'integer', value: 'N', description: `shortest protein, in residues (${defaults.minLength})` },
    'max-length': { type: 'integer', value: 'N', description: `longest protein, in residues (${defaults.maxLength})` },
    force: { type: 'flag', description: 'replace files that have other content' },
  },
  async run(values, output) {
    const files = simulationFiles({
      ...defaults,
      proteins: values.proteins ?? defaults.proteins,
      pairs: values.pairs ?? defaults.pairs,
      domains: values.domains ?? defaults.domains,
      seed: values.seed ?? defaults.seed,
      disjoint: values.disjoint,
      minLength: values['min-length'] ?? defaults.minLength,
      maxLength: values['max-length'] ?? defaults.maxLength,
    }).map(({ name, text }) => ({ path: join(values.out, name), text }));
    const foreign = files.filter(({ path, text }) => existsSync(path) && readFileSync(path, 'utf8') !== text);
    if (foreign.length > 0 && !values.force) {
      throw new RelicError('RELIC_USAGE', 'files with other content are in the way', {
        problems: foreign.map(({ path }) => ({ where: path, message: 'exists' })),
        fix: 'choose another --out, or replace them with --force',
      });
    }
    ensureDirectory(values.out);
    for (const { path, text } of files) {
      writeFileAtomic(path, text);
      output.stdout(`wrote ${path} (${text.split('\n').length - 1} lines)\n`);
    }
  },
});
