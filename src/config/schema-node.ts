/** A typebox schema as plain data: JSON Schema's words and the annotations of `fields.ts`. */
import type { TSchema } from 'typebox';
import type { Bounds } from './fields.ts';

export interface SchemaNode extends Bounds {
  readonly '~kind': 'Object' | 'Array' | 'Union' | 'Null' | 'Integer' | 'Number' | 'Boolean' | 'Enum' | 'String';
  readonly description?: string;
  readonly default?: unknown;
  readonly derivedDefault?: string;
  readonly reason?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly ignored?: readonly string[];
  readonly items?: SchemaNode;
  readonly minItems?: number;
  readonly anyOf?: readonly SchemaNode[];
  readonly enum?: readonly string[];
  readonly aliases?: Readonly<Record<string, string>>;
  readonly open?: boolean;
  readonly kind?: string;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly patternMeaning?: string;
  readonly integers?: boolean;
  readonly blankIsNull?: boolean;
}

/** The same object under the type that shows its annotations. */
export function asNode(schema: TSchema): SchemaNode {
  return schema as SchemaNode;
}

/** The keys inside a mapping, or inside a mapping that may be null; undefined for every other schema. */
export function fieldsOf(schema: SchemaNode): Readonly<Record<string, SchemaNode>> | undefined {
  return schema.properties ?? schema.anyOf?.find((branch) => branch.properties)?.properties;
}

/** Every key below `schema` as a dotted path, mappings included, in the schema's order. */
export function keyPaths(schema: SchemaNode, prefix = ''): string[] {
  return Object.entries(fieldsOf(schema) ?? {}).flatMap(([key, field]) => [
    prefix + key,
    ...keyPaths(field, `${prefix}${key}.`),
  ]);
}
