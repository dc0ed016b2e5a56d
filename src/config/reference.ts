/** The README's config reference, generated from the schema so that it cannot go stale. */
import { kindWords } from './resolve.ts';
import { ConfigSchema } from './schema.ts';
import { asNode, fieldsOf, type SchemaNode } from './schema-node.ts';

/** A Markdown table of every key: its dotted path, what it takes, its default and its meaning. */
export function configReference(): string {
  const rows = leaves(asNode(ConfigSchema), '').map(
    ([path, field]) =>
      `| \`${path}\` | ${cell(kindWords(field))} | ${cell(defaultWords(field))} | ${cell(field.description ?? '')} |`,
  );
  return ['| Key | Takes | Default | Meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function leaves(schema: SchemaNode, prefix: string): [string, SchemaNode][] {
  return Object.entries(fieldsOf(schema) ?? {}).flatMap(([key, field]): [string, SchemaNode][] => {
    const inner = leaves(field, `${prefix}${key}.`);
    return field['~kind'] === 'Object' ? inner : [[prefix + key, field], ...inner];
  });
}

function defaultWords(field: SchemaNode): string {
  if (field.derivedDefault !== undefined) return field.derivedDefault;
  return field.default === undefined ? 'required' : `\`${JSON.stringify(field.default).replaceAll('"', '')}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
