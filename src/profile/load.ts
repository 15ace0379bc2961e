/** From a profile's name to a plan: files, what they extend, --set, validation, resolution. */
import * as path from "node:path";
import { similarNames } from "../bytes/similar-names.js";
import { ImgbuildError } from "../errors.js";
import { checkPlan } from "../image/check-plan.js";
import { MBR_PRIMARIES, PARTITION_ROLES, type PartitionPlan, type Plan, TEZI_FILES } from "../image/plan.js";
import {
  isRecord,
  type Layer,
  layerOfSettings,
  merge,
  profileFile,
  readLayers,
  SETTINGS,
  type Value,
} from "./document.js";
import { type Problem, problemOf, wantedText } from "./issue-text.js";
import { jsonSchema, type Profile, profileSchema, type SchemaNode } from "./schema.js";

export interface LoadOptions {
  /** PATH=VALUE, the later ones win. */
  readonly set?: readonly string[];
  /** The folder that a relative profile path starts from. */
  readonly folder: string;
}

const UPDATE_FILES = ["certificate", "key"] as const;

/** A profile with everything that it extends and --set changes merged into it. */
export interface LoadedProfile {
  readonly plan: Plan;
  /** The profile as a file could say it, without `extends`. */
  readonly resolved: Value;
  /** Where its values come from, the most special first: --set, the file, what that extends, and so on. */
  readonly layers: readonly Layer[];
}

/** Loads the profile `name` (shipped, or a file). Throws `profile-unknown`, or `profile-invalid` with file, line and key. */
export function loadProfile(name: string, options: LoadOptions): LoadedProfile {
  const file = profileFile(name, options.folder);
  const files = readLayers(file);
  refuseAbstract(files[0]!, name);
  const layers = [layerOfSettings(options.set ?? []), ...files];
  const values = layers.map((layer) => layer.values).reduceRight((general, special) => merge(general, special));
  const profile = validated(values, (problem) => explained(problem, layers));
  const folderOf = (keys: readonly string[]) => {
    const from = layers.find((layer) => layer.lineOf(keys) !== undefined);
    return from === undefined || from.origin === SETTINGS ? options.folder : path.dirname(from.origin);
  };
  const plan = resolve(path.basename(file).replace(/\.(ya?ml|json)$/, ""), profile, folderOf);
  checkPlan(plan);
  return { plan, resolved: withoutChain(values), layers };
}

/** The plan of `loadProfile` alone. */
export function loadPlan(name: string, options: LoadOptions): Plan {
  return loadProfile(name, options).plan;
}

/**
 * What a profile resolved to as one that gives the same image when it lies in `folder`, whatever it is called: with its seed, which
 * may come from its name, and with paths from there on.
 */
export function standaloneProfile({ plan, resolved }: LoadedProfile, folder: string): Value {
  const paths = (values: object | undefined, keys: readonly string[]) =>
    Object.fromEntries(
      Object.entries(values ?? {}).flatMap(([key, value]) =>
        keys.includes(key) && typeof value === "string" ? [[key, path.relative(folder, value)]] : [],
      ),
    );
  const { seed, tezi, update, partitions } = plan;
  const sources = partitions.flatMap(({ name, ...rest }) => (rest.source === undefined ? [] : [[name, rest] as const]));
  return merge(resolved, {
    seed,
    ...(tezi && { tezi: paths(tezi, TEZI_FILES) }),
    ...(isRecord(resolved) && resolved.update !== undefined && { update: paths(update, UPDATE_FILES) }),
    partitions: Object.fromEntries(sources.map(([name, partition]) => [name, paths(partition, ["source"])])),
  });
}

/** The plan of a resolved profile, as a manifest repeats it. Throws `profile-invalid`. */
export function planOfResolved(name: string, resolved: unknown): Plan {
  const profile = validated(
    resolved,
    ({ text }) =>
      new ImgbuildError("profile-invalid", `the resolved profile of ${name} is not valid: ${text}`, {
        hint: "Another version of imgbuild may have written it. Build the image again.",
      }),
  );
  return resolve(name, profile, () => ".");
}

/** The profile that `values` are. Throws what `explain` makes of the first problem. */
function validated(values: unknown, explain: (problem: Problem) => ImgbuildError): Profile {
  const parsed = profileSchema.safeParse(values, { reportInput: true, error: wantedText });
  if (parsed.success) return parsed.data;
  throw explain(problemOf(parsed.error.issues[0]!));
}

/** An abstract profile is for others to extend: the key counts in the file that is asked for, not in what that extends. */
function refuseAbstract({ origin, values }: Layer, name: string): void {
  if (!isRecord(values) || values.abstract !== true) return;
  throw new ImgbuildError("profile-invalid", `${name} is no board, but what boards have in common`, {
    hint: `Write a profile of your own that says \`extends: ${name}\` and the rest, or choose one of \`imgbuild profiles\`.`,
    data: { file: origin },
  });
}

/** The values without the keys that are about files, not about the board. */
function withoutChain(values: Value): Value {
  if (!isRecord(values)) return values;
  const { extends: _, abstract: __, ...rest } = values;
  return rest;
}

/** `folderOf`: the folder that a relative path under these keys starts from, which is that of the file it is written in. */
function resolve(name: string, profile: Profile, folderOf: (keys: readonly string[]) => string): Plan {
  const { extends: _, abstract: __, partitions, seed, tezi, update, ...rest } = profile;
  const count = Object.keys(partitions).length;
  return {
    ...rest,
    update: withPaths(update, UPDATE_FILES, (key) => folderOf(["update", key])),
    tezi: tezi && withPaths(tezi, TEZI_FILES, (key) => folderOf(["tezi", key])),
    profile: name,
    seed: seed ?? name,
    partitions: Object.entries(partitions).map(
      ([key, partition], index): PartitionPlan => ({
        ...partition,
        name: key,
        role: partition.role ?? PARTITION_ROLES.find((role) => role === key) ?? "data",
        number: partition.number ?? defaultNumber(rest.storage.table, index, count),
        hybrid: hybridType(partition),
        type:
          partition.type ??
          (partition.filesystem !== "fat" ? "linux" : rest.storage.table === "gpt" ? "basic-data" : "fat32-lba"),
        source:
          partition.source === undefined
            ? undefined
            : path.resolve(folderOf(["partitions", key, "source"]), partition.source),
      }),
    ),
  };
}

/** `values` with the paths that it has under `keys` resolved, each from the folder that `folderOf` says. */
function withPaths<T extends object, K extends keyof T>(
  values: T,
  keys: readonly K[],
  folderOf: (key: K) => string,
): T {
  const named = keys.filter((key) => values[key] !== undefined);
  const resolved = named.map((key) => [key, path.resolve(folderOf(key), `${values[key]}`)]);
  return { ...values, ...Object.fromEntries(resolved) };
}

/** By the place; where an MBR needs logical partitions, its fourth number is the extended one's. */
function defaultNumber(table: "mbr" | "gpt", index: number, count: number): number {
  return index + (table === "mbr" && count > MBR_PRIMARIES && index >= MBR_PRIMARIES - 1 ? 2 : 1);
}

/** What firmware that reads a hybrid MBR looks for. */
function hybridType({ hybrid, filesystem, type }: Profile["partitions"][string]): string | undefined {
  if (typeof hybrid === "string") return hybrid;
  if (!hybrid) return undefined;
  return filesystem !== "fat" ? "linux" : type === "esp" ? "esp" : "fat32-lba";
}

/** The error for a problem, with the place where the value was written. */
function explained({ keys, kind, text }: Problem, layers: readonly Layer[]): ImgbuildError {
  const key = keys.map(String).join(".");
  const near = kind === "unknown" ? similarNames(String(keys.at(-1)), keysOfSchema(keys.slice(0, -1))) : [];
  const hints = {
    unknown: near.length > 0 ? `Did you mean ${near.join(" or ")}?` : "`imgbuild schema` prints every key.",
    missing: `Set ${key} in the profile or with --set ${key}=VALUE.`,
    wrong: "`imgbuild schema` says what each key takes.",
  };
  return new ImgbuildError("profile-invalid", `${whereIs(keys, layers)}: ${text}`, {
    hint: hints[kind],
    data: { key },
  });
}

/** "board.yaml:12" of the layer that decides the value, or of the nearest enclosing key that some layer has. */
function whereIs(keys: readonly PropertyKey[], layers: readonly Layer[]): string {
  for (let length = keys.length; length > 0; length--) {
    for (const layer of layers) {
      const line = layer.lineOf(keys.slice(0, length));
      if (line !== undefined) return line === 0 ? layer.origin : `${layer.origin}:${line}`;
    }
  }
  return layers.find(({ origin }) => origin !== SETTINGS)!.origin;
}

/** The keys that the schema has at the place `at`. */
function keysOfSchema(at: readonly PropertyKey[]): string[] {
  const variants = (node: SchemaNode): SchemaNode[] => [
    node,
    ...[...(node.anyOf ?? []), ...(node.oneOf ?? [])].flatMap(variants),
  ];
  let nodes = variants(jsonSchema());
  for (const key of at) {
    nodes = nodes.flatMap(({ properties, additionalProperties }) => {
      const next = properties?.[String(key)] ?? additionalProperties;
      return typeof next === "object" ? variants(next) : [];
    });
  }
  return [...new Set(nodes.flatMap(({ properties }) => Object.keys(properties ?? {})))];
}
