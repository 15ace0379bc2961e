/** A resolved profile key by key, each with where its value comes from. */
import { isRecord, type Layer, SETTINGS, type Value } from "./document.js";
import { jsonSchema, type SchemaNode } from "./schema.js";

/** A key that holds no mapping: a scalar, or a list as a whole. */
export interface ResolvedKey {
  /** Of the first level, then of the one in it, and so on. */
  readonly path: readonly string[];
  readonly value: Value;
  /** Its schema. */
  readonly node: SchemaNode;
  /** The layer that decided it; undefined where the schema's default holds. */
  readonly layer: Layer | undefined;
  /** The line in the layer's file, counted from 1; undefined for --set and for defaults. */
  readonly line: number | undefined;
}

/**
 * Every key that has a value, in the order of the schema, partitions in that of their places. `values` is a valid profile
 * merged from `layers`, the most special of which comes first. Keys that are neither set nor have a default are left out.
 */
export function* resolvedKeys(values: Value, layers: readonly Layer[]): Generator<ResolvedKey> {
  yield* keysIn(values, jsonSchema(), [], layers);
}

function* keysIn(
  value: Value,
  node: SchemaNode,
  path: readonly string[],
  layers: readonly Layer[],
): Generator<ResolvedKey> {
  if (!isRecord(value)) {
    const layer = layers.find(({ lineOf }) => lineOf(path) !== undefined);
    const line = layer === undefined || layer.origin === SETTINGS ? undefined : layer.lineOf(path);
    yield { path, value, node, layer, line };
    return;
  }
  const { properties, additionalProperties } = variantOf(node, value);
  for (const [key, inner] of Object.entries(properties ?? {})) {
    const known = value[key] ?? (inner.default as Value | undefined);
    if (known !== undefined) yield* keysIn(known, inner, [...path, key], layers);
  }
  if (typeof additionalProperties !== "object") return;
  for (const [key, inner] of Object.entries(value)) yield* keysIn(inner, additionalProperties, [...path, key], layers);
}

/** Of a node with variants, the one that `value` is of: the one whose constants it has. */
function variantOf(node: SchemaNode, value: { readonly [key: string]: Value }): SchemaNode {
  const variants = node.oneOf ?? node.anyOf ?? [];
  const hasConstants = ({ properties }: SchemaNode) =>
    Object.entries(properties ?? {}).every(([key, inner]) => inner.const === undefined || inner.const === value[key]);
  return variants.find(hasConstants) ?? node;
}
