/** Profile files as YAML documents that know where each value was written, for errors that name file, line and key. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type Document, isMap, isNode, LineCounter, parseDocument, visit } from "yaml";
import { ImgbuildError } from "../errors.js";

export type Value = null | boolean | number | string | readonly Value[] | { readonly [key: string]: Value };

/** The origin of values that the command line sets. */
export const SETTINGS = "--set";

/** Keys of a profile's file that say nothing of the board. */
const ABOUT_FILES: readonly string[] = ["extends", "abstract"];

/** A source of profile values: a file, or the --set options. */
export interface Layer {
  /** The file's path, or SETTINGS. */
  readonly origin: string;
  readonly values: Value;
  /** The line of a key's value, counted from 1; undefined when this layer does not have the key. */
  lineOf(keys: readonly PropertyKey[]): number | undefined;
}

const SHIPPED = path.resolve(import.meta.dirname, "../../../profiles");
/** Profiles that are no boards, which boards and other bases extend. */
const BASES = path.join(SHIPPED, "base");

/** Names of the boards that come with imgbuild. */
export function shippedProfiles(): string[] {
  return fs
    .readdirSync(SHIPPED)
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/** What people call a layer: the name of a shipped profile or base, a file's path from `folder` on, or "--set". */
export function layerName({ origin }: Layer, folder: string): string {
  if (origin === SETTINGS) return origin;
  const isShipped = [SHIPPED, BASES].includes(path.dirname(origin));
  return isShipped ? path.basename(origin, ".yaml") : path.relative(folder, origin) || origin;
}

function looksLikeFile(name: string): boolean {
  return /\.(ya?ml|json)$/.test(name) || name.includes("/") || name.includes(path.sep);
}

/** The file of a profile: a path, relative to `from`, or the name of a shipped one or base. Throws `profile-unknown`. */
export function profileFile(name: string, from: string): string {
  const places = looksLikeFile(name)
    ? [path.resolve(from, name)]
    : [SHIPPED, BASES].map((folder) => path.join(folder, `${name}.yaml`));
  const file = places.find((place) => fs.existsSync(place));
  if (file !== undefined) return file;
  const known = shippedProfiles();
  throw new ImgbuildError(
    "profile-unknown",
    looksLikeFile(name) ? `there is no profile ${places[0]}` : `there is no profile "${name}"`,
    {
      hint: `Shipped profiles: ${known.join(", ")}. A profile of your own is named by its file: --profile ./board.yaml.`,
      data: { name, known },
    },
  );
}

/** The profile's files, the most special first: the file itself, what it extends, and so on. */
export function readLayers(file: string): Layer[] {
  const layers: Layer[] = [];
  for (let next: string | undefined = file; next !== undefined; ) {
    if (layers.some(({ origin }) => origin === next)) {
      throw new ImgbuildError("profile-invalid", `${next} extends itself`, {
        hint: `The chain is ${[...layers.map(({ origin }) => origin), next].join(" -> ")}.`,
      });
    }
    const layer = readLayer(next);
    layers.push(layer);
    const parent: Value | undefined = isRecord(layer.values) ? layer.values.extends : undefined;
    next = typeof parent === "string" ? profileFile(parent, path.dirname(next)) : undefined;
  }
  return layers;
}

function readLayer(file: string): Layer {
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    throw new ImgbuildError(
      "source-unreadable",
      `cannot read the profile ${file}: ${(error as NodeJS.ErrnoException).code}`,
      {
        hint: "A profile is a YAML or JSON file.",
        cause: error,
      },
    );
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    throw new ImgbuildError("profile-invalid", `${file}:${lines.linePos(error.pos[0]).line}: ${error.message}`, {
      hint: "The file is not valid YAML at this line.",
    });
  }
  const values = valuesOf(document, (message, cause) => {
    const hint = "Quote text that begins with *; elsewhere an alias *NAME needs an anchor &NAME in front of it.";
    return new ImgbuildError("profile-invalid", `${file}: ${message}`, { hint, cause });
  });
  if (values !== null && !isRecord(values)) {
    const what = Array.isArray(values) ? "a list" : "a single value";
    throw new ImgbuildError(
      "profile-invalid",
      `${file}:${lines.linePos(document.contents!.range[0]).line}: a profile is a mapping of keys to values, and this is ${what}`,
      {
        hint: "Write one key a line: extends: colibri-imx6",
      },
    );
  }
  return { origin: file, values: values ?? {}, lineOf: (keys) => lineOf(document, lines, keys) };
}

/** Throws what `failure` makes of aliases that lead nowhere, or to more than anybody writes, and of numbers that lose digits. */
function valuesOf(document: Document, failure: (message: string, cause: unknown) => Error): Value {
  try {
    // To JavaScript that is no key like others.
    const reviver = (key: unknown, value: unknown) => {
      if (key === "__proto__") throw new Error("there can be no key __proto__");
      return value;
    };
    visit(document, {
      Scalar(_, { value, source }) {
        if (!Number.isInteger(value) || Number.isSafeInteger(value)) return;
        throw new Error(`${source} has more digits than a number keeps: put it into quotes if it is text`);
      },
    });
    return document.toJS({ reviver }) as Value;
  } catch (error) {
    throw failure((error as Error).message, error);
  }
}

function lineOf(document: Document, lines: LineCounter, keys: readonly PropertyKey[]): number | undefined {
  const parent = keys.length > 0 ? document.getIn(keys.slice(0, -1), true) : undefined;
  if (isMap(parent)) {
    const pair = parent.items.find(({ key }) => String(key) === String(keys.at(-1)));
    return isNode(pair?.key) && pair.key.range ? lines.linePos(pair.key.range[0]).line : undefined;
  }
  const node = document.getIn(keys, true);
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

export function isRecord(value: Value | undefined): value is { readonly [key: string]: Value } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The values of --set PATH=VALUE options as a layer. Values are read as YAML: numbers, true, [a, b]. */
export function layerOfSettings(settings: readonly string[]): Layer {
  const values: Record<string, Value> = {};
  for (const setting of settings) {
    const at = setting.indexOf("=");
    const keys = setting.slice(0, at).split(".");
    if (at < 1 || keys.includes("") || keys.includes("__proto__")) {
      throw new ImgbuildError("usage", `--set ${setting} is not PATH=VALUE`, {
        hint: "For example --set partitions.rootfs.size=256MiB",
      });
    }
    if (ABOUT_FILES.includes(keys[0]!)) {
      throw new ImgbuildError("usage", `--set ${setting}: ${keys[0]} is about the profile's file`, {
        hint: "Write a profile of your own that says it, beside your project.",
      });
    }
    const invalid = (message: string, cause?: unknown) =>
      new ImgbuildError("usage", `--set ${setting}: the value is not valid YAML: ${message}`, {
        hint: "Quote text that holds YAML's special characters.",
        cause,
      });
    const parsed = parseDocument(setting.slice(at + 1), { prettyErrors: false });
    if (parsed.errors.length > 0) throw invalid(parsed.errors[0]!.message);
    let target = values;
    for (const key of keys.slice(0, -1)) {
      const inner = isRecord(target[key]) ? { ...target[key] } : {};
      target[key] = inner;
      target = inner;
    }
    target[keys.at(-1)!] = valuesOf(parsed, invalid);
  }
  const has = (keys: readonly PropertyKey[]) => {
    const inside = (value: Value | undefined, key: PropertyKey) =>
      Array.isArray(value) ? value[Number(key)] : isRecord(value) ? value[String(key)] : undefined;
    return keys.reduce(inside, values as Value | undefined) !== undefined;
  };
  return { origin: SETTINGS, values, lineOf: (keys) => (has(keys) ? 0 : undefined) };
}

/** `special` over `general`: mappings are merged key by key, anything else is replaced; null takes a value away. */
export function merge(general: Value, special: Value): Value {
  if (!isRecord(general) || !isRecord(special)) return special;
  const merged: Record<string, Value> = { ...general };
  for (const [key, value] of Object.entries(special)) {
    const below = merged[key];
    if (value === null) delete merged[key];
    else merged[key] = below === undefined ? value : merge(below, value);
  }
  return merged;
}
