/** The keys of a profile one by one, as the JSON Schema has them: for docs/profiles.md and for the tests that hold it. */
import { EXAMPLES } from "./examples.js";
import type { SchemaNode } from "./schema.js";

export interface SchemaKey {
  /** "storage.size"; `*` stands for a name of the user's, `[]` for each item of a list. */
  readonly path: string;
  readonly node: SchemaNode;
  /** Whether the mapping that it is in has to have it. */
  readonly required: boolean;
  /** The file systems of partitions that have it; undefined for all of them, and outside of partitions. */
  readonly filesystems: readonly string[] | undefined;
  /** Whether it holds keys of its own, or a list of mappings. */
  readonly holdsKeys: boolean;
}

/** Every key, each before those in it, in the order of the schema. */
export function* schemaKeys(node: SchemaNode, path = ""): Generator<SchemaKey> {
  const variants = node.oneOf ?? node.anyOf?.filter(({ properties }) => properties !== undefined) ?? [];
  const mappings = variants.length > 0 ? variants : [node];
  const seen = new Set<string>();
  for (const mapping of mappings) {
    for (const [name, inner] of Object.entries(mapping.properties ?? {})) {
      if (seen.has(name)) continue;
      seen.add(name);
      const having = mappings.filter(({ properties }) => properties?.[name] !== undefined);
      const key = path === "" ? name : `${path}.${name}`;
      const filesystems = having.length === mappings.length ? undefined : having.map(filesystemOf);
      const required = having.every((one) => one.required?.includes(name) === true);
      const below = [...schemaKeys(inner, key), ...itemKeys(inner, key), ...namedKeys(inner, key)];
      const own = name === "filesystem" ? { ...inner, const: undefined, enum: mappings.map(filesystemOf) } : inner;
      yield { path: key, node: own, required, filesystems, holdsKeys: below.length > 0 };
      yield* below;
    }
  }
}

const itemKeys = ({ items }: SchemaNode, key: string) =>
  items === undefined ? [] : [...schemaKeys(items, `${key}[]`)];

const namedKeys = ({ additionalProperties }: SchemaNode, key: string) =>
  typeof additionalProperties === "object" ? [...schemaKeys(additionalProperties, `${key}.*`)] : [];

const filesystemOf = ({ properties }: SchemaNode) => `${properties?.filesystem?.const}`;

/** An example of the key's value: its own, else a choice that is not the default. Undefined where the schema shows none. */
export function exampleOf({ path, node }: Pick<SchemaKey, "path" | "node">): unknown {
  if (path in EXAMPLES) return EXAMPLES[path];
  const literals = node.anyOf?.map((one) => one.const).filter((value) => value !== undefined) ?? [];
  const choices = node.enum ?? (literals.length > 0 ? literals : node.type === "boolean" ? [true, false] : []);
  return choices.find((choice) => choice !== node.default) ?? choices[0];
}

/** The schema with an example at every key that has one. */
export function withExamples(node: SchemaNode, path = ""): SchemaNode {
  const below = (inner: SchemaNode, key: string) => withExamples(inner, key);
  const under = (name: string) => (path === "" ? name : `${path}.${name}`);
  const { properties, items, additionalProperties, oneOf, anyOf } = node;
  const isLeaf = properties === undefined && oneOf === undefined && typeof additionalProperties !== "object";
  const example = path === "" || !isLeaf ? undefined : exampleOf({ path, node });
  return {
    ...node,
    ...(example !== undefined && { examples: [example] }),
    ...(properties !== undefined && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, inner]) => [name, below(inner, under(name))]),
      ),
    }),
    ...(items?.properties !== undefined && { items: below(items, `${path}[]`) }),
    ...(typeof additionalProperties === "object" && { additionalProperties: below(additionalProperties, `${path}.*`) }),
    ...(oneOf !== undefined && { oneOf: oneOf.map((one) => below(one, path)) }),
    ...(anyOf?.some((one) => one.properties !== undefined) && { anyOf: anyOf.map((one) => below(one, path)) }),
  };
}
