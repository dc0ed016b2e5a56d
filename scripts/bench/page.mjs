/** docs/benchmarks.md: sections between markers, so that measuring one again leaves the others as they are. */

const HEAD = `# Benchmarks

Written by \`node scripts/bench/run.mjs --python PYTHON --oracle DIR\`; \`--only SECTION\` measures one section again and
leaves the others. Each section says when, where, at which commit and by which command it was measured. PYTHON has
PyTorch and NumPy, DIR has \`bench_torch.py\` and \`v3_torch.py\`.

Every trial is a process of its own, on the same number of threads, and the two sides run in turn. Machines differ and
other programs disturb: ratios are taken within a round, and told with their range over the rounds. "Wanted" is what the
project asks of itself.
`;

/**
 * The page with one section replaced or put in its place.
 *
 * @param page the page as it is, '' for none
 * @param order names of all sections, in the order of the page
 * @param section { name, title, facts: the line that says when and on what, body }
 */
export function withSection(page, order, { name, title, facts, body }) {
  const found = new Map(order.map((each) => [each, sectionOf(page, each)]));
  found.set(name, `## ${title}\n\n${facts}\n\n${body.trim()}`);
  const blocks = order.flatMap((each) => {
    const text = found.get(each);
    return text === undefined ? [] : [`${begin(each)}\n\n${text}\n\n${end(each)}`];
  });
  return `${[HEAD.trim(), ...blocks].join('\n\n')}\n`;
}

function sectionOf(page, name) {
  const [from, to] = [page.indexOf(begin(name)), page.indexOf(end(name))];
  return from < 0 || to < from ? undefined : page.slice(from + begin(name).length, to).trim();
}

function begin(name) {
  return `<!-- ${name}: begin -->`;
}

function end(name) {
  return `<!-- ${name}: end -->`;
}
