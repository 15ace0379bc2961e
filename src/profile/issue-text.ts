/**
 * What is wrong in a profile, as a clause that names key, value and what is wanted: "storage.table is "fdisk", not mbr or gpt".
 * Texts that schemas give themselves are what is wanted; those of their checks (zod's code "custom") follow the key as they are.
 */
import type { z } from "zod";

type Issue = z.core.$ZodIssue;

/** The rest of a clause that begins with the key. */
export const isNot = (value: unknown, wanted: string): string => `is ${shown(value)}, not ${wanted}`;

const MAX_SHOWN = 60;

function shown(value: unknown): string {
  if (value === null) return "empty";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "a mapping of keys";
  const text = JSON.stringify(value);
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text;
}

/** What is wanted, for values that schemas say nothing special about: for zod's option `error`. */
export function wantedText(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.expected === "string") return isScalar(issue.input) ? "a text, which is in quotes" : "a text";
      return TYPES[issue.expected] ?? `a ${issue.expected}`;
    case "too_small":
      return `${KINDS[issue.origin]} of at least ${amount(issue.minimum, issue.origin)}`;
    case "too_big":
      return `${KINDS[issue.origin]} of at most ${amount(issue.maximum, issue.origin)}`;
    case "invalid_value":
      return alternatives(issue.values.map(String));
    case "invalid_format":
      return issue.format === "starts_with" ? `a text that begins with ${issue.prefix}` : `a ${issue.format}`;
    case "invalid_union":
      return alternatives(
        issue.discriminator === undefined
          ? issue.errors.map(([first]) => first!.message)
          : (issue.options as unknown[]).map(String),
      );
    case "invalid_key":
      return issue.issues[0]!.message;
    default:
      return "what the schema takes";
  }
}

/** YAML takes it for something else than a text, unless it is in quotes. */
const isScalar = (value: unknown) => typeof value === "number" || typeof value === "boolean";

const TYPES: Readonly<Record<string, string>> = {
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping of keys",
  record: "a mapping of keys",
};

const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  array: "a list",
  number: "a number",
  int: "a number",
};

function amount(limit: number | bigint, origin: string): string {
  const unit = { string: "character", array: "item" }[origin];
  return unit === undefined ? `${limit}` : `${limit} ${unit}${limit === 1 ? "" : "s"}`;
}

/** "a, b or c". */
function alternatives(texts: readonly string[]): string {
  const all = [...new Set(texts)];
  return [all.slice(0, -1).join(", "), all.at(-1)].filter((text) => text !== "").join(" or ");
}

export interface Problem {
  /** Of the value. */
  readonly keys: readonly PropertyKey[];
  /** The schema has no such key, or the profile lacks one; else the value is wrong. */
  readonly kind: "unknown" | "missing" | "wrong";
  readonly text: string;
}

/** What an issue says. It has to be from a parse with `reportInput` and `wantedText`. */
export function problemOf(issue: Issue): Problem {
  if (issue.code === "unrecognized_keys") {
    const keys = [...issue.path, issue.keys[0]!];
    return { keys, kind: "unknown", text: `there is no key ${keys.join(".")}` };
  }
  const keys = issue.path;
  const key = keys.length === 0 ? "the profile" : keys.map(String).join(".");
  const value = wrongValue(issue);
  if (value === undefined) return { keys, kind: "missing", text: `${key} is missing` };
  return {
    keys,
    kind: "wrong",
    text: `${key} ${issue.code === "custom" ? issue.message : isNot(value, issue.message)}`,
  };
}

/** Of a mapping that is of none of several kinds, the value that tells them apart. */
function wrongValue(issue: Issue): unknown {
  if (issue.code !== "invalid_union" || issue.discriminator === undefined) return issue.input;
  return (issue.input as Record<string, unknown>)[issue.discriminator];
}
