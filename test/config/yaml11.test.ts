import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readYaml11, type YamlValue } from '../../src/config/yaml11.ts';
import { assertThrowsCode } from '../assert.ts';

const test = suite('yaml11');

function plain(value: YamlValue): unknown {
  if (value.kind === 'list') return value.items.map(plain);
  if (value.kind !== 'map') return value.value;
  return Object.fromEntries([...value.entries].map(([key, entry]) => [key, plain(entry.value)]));
}
const read = (text: string) => plain(readYaml11(text, 'f.yaml').root) as Record<string, unknown>;
const warnings = (text: string) => readYaml11(text, 'f.yaml').warnings;

test('mappings, lists, quotes and blocks', () => {
  const text = 'a: [1, yes, "yes", \'1e-4\']\nb: {c: 010, d: ~}\ne: |\n  x\n  y\nf:\n- 1\n- two\ng:\n';
  assert.equal(read(text), { a: [1, true, 'yes', '1e-4'], b: { c: 8, d: null }, e: 'x\ny\n', f: [1, 'two'], g: null });
});

test('a %YAML 1.2 line does not change the reading', () => {
  assert.equal(read('%YAML 1.2\n---\na: yes\n'), { a: true });
});

test('anchors and merge keys: own keys win, and of several mappings the first', () => {
  assert.equal(read('a: &x {b: 1, c: 2}\nd:\n  c: 3\n  <<: *x\n'), { a: { b: 1, c: 2 }, d: { b: 1, c: 3 } });
  assert.equal(read('x: &x {b: 1}\ny: &y {b: 2, q: 1}\nd:\n  <<: [*x, *y]\n').d, { b: 1, q: 1 });
  assert.match(warnings('a: &x {b: 1}\nd:\n  <<: *x\n')[0].message, /merges a mapping in YAML 1\.1 only/);
});

test('an anchor set again counts from there on', () => {
  assert.equal(read('a: &x 1\nb: *x\nc: &x 2\nd: *x\n'), { a: 1, b: 1, c: 2, d: 2 });
});

test('a repeated key takes its last value and warns with both places', () => {
  assert.equal(read('a: 1\nb: 0\na: 2\n'), { a: 2, b: 0 });
  const [warning] = warnings('a: 1\na: 2\n');
  assert.is(warning.where, 'f.yaml:2:1');
  assert.match(warning.message, /repeated key a.*f\.yaml:1:1/);
});

const DIFFERENCES: readonly [string, RegExp][] = [
  [
    '1e-4',
    /^1e-4 is read as the text "1e-4" \(YAML 1\.1\), by YAML 1\.2 readers as the number 0\.0001; write "1e-4" for the text "1e-4" or 0\.0001 for the number 0\.0001$/,
  ],
  ['5e-7', /or 5\.0e-7 for the number 5\.0e-7$/],
  ['20260212_135926', /the integer 20260212135926 .*; write 20260212135926 for .* or "20260212_135926" for/],
  ['010', /as the integer 8 .* as the integer 10; write 8 .* or 10/],
  ['3:30', /as the integer 210 .* as the text "3:30"; write 210/],
  ['off', /as false .* as the text "off"; write false .* or "off"/],
  ['0o7', /as the text "0o7" .* as the integer 7/],
  ['2026-02-12', /as the date 2026-02-12 .*; write "2026-02-12" for the text "2026-02-12"$/],
];

for (const [source, pattern] of DIFFERENCES) {
  test(`warns that readers differ on ${source}`, () => {
    const [warning, ...rest] = warnings(`a:\n  b: ${source}\n`);
    assert.is(rest.length, 0);
    assert.is(warning.where, 'f.yaml:2:6');
    assert.match(warning.message, pattern);
  });
}

test('no warning where readers agree', () => {
  assert.equal(warnings('a: [1, 1.5, .5, 1.0e-4, true, null, ~, 0x1F, v3, "yes", \'010\', -3]\n'), []);
});

test('explicit tags', () => {
  assert.equal(read('a: !!int "3"\nb: !!str 3\nc: !!map {d: 1}\ne: !!seq [1]\nf: ! 3\n'), {
    a: 3,
    b: '3',
    c: { d: 1 },
    e: [1],
    f: 3,
  });
});

const REFUSED: readonly [string, RegExp][] = [
  ['a: [1, 2\n', /f\.yaml:\d+:\d+/],
  ['a:\n\t- 1\n', /f\.yaml:2:1/],
  ['a: "x\n', /f\.yaml/],
  ['a: 1\n---\nb: 2\n', /f\.yaml:2:1/],
  ['a: b: c\n', /f\.yaml:1/],
  ['a: =\n', /f\.yaml:1:4.*quote it/],
  ['a: 2026-13-45\n', /f\.yaml:1:4: not a date/],
  ['a: *x\n', /f\.yaml:1:4/],
  ['a: &x [*x]\n', /f\.yaml:1:8: alias \*x/],
  ['a: !!python/object:os.system x\n', /unknown tag .*python/],
  ['a: !!set {b}\n', /unknown tag/],
  ['? [a]\n: 1\n', /a key must be a plain name/],
  ['<<: 3\n', /<< needs a mapping or a list of mappings/],
  ['<<: [3]\n', /<< needs a mapping or a list of mappings/],
];

for (const [text, pattern] of REFUSED) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    const error = assertThrowsCode(() => readYaml11(text, 'f.yaml'), 'RELIC_CONFIG_SYNTAX', pattern);
    assert.match(error.problems[0].where, /^f\.yaml:\d+:\d+$/);
  });
}

test('aliases of aliases stop unfolding', () => {
  const bomb = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]'];
  for (let i = 1; i < 8; i++)
    bomb.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    );
  assertThrowsCode(() => readYaml11(bomb.join('\n'), 'f.yaml'), 'RELIC_CONFIG_SYNTAX', /more than 20000 values/);
});

test('an empty text is null', () => {
  assert.is(read('# nothing\n'), null);
});

test.run();
