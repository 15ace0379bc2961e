/** A resolved profile as text: YAML that is a profile again, each line with where its value comes from. */
import { stringify } from "yaml";
import { safeText } from "../bytes/bytestring.js";
import { type Layer, layerName, SETTINGS, type Value } from "../profile/document.js";
import type { ResolvedKey } from "../profile/origins.js";
import { shown } from "../profile/sizes.js";

/** Comments begin in one column, unless a value reaches beyond this one. */
const WIDEST = 72;

/** "colibri-imx6", "board.yaml:12", "default". */
function originText({ layer, line }: ResolvedKey, folder: string): string {
  if (layer === undefined) return "default";
  const name = layerName(layer, folder);
  return `from ${name}${/\.(ya?ml|json)$/.test(name) && line !== undefined ? `:${line}` : ""}`;
}

/** `folder`: what the names of files are relative to. */
export function resolvedText(layers: readonly Layer[], keys: readonly ResolvedKey[], folder: string): string {
  const lines: { text: string; origin?: string }[] = [];
  let before: readonly string[] = [];
  for (const key of keys) {
    const { path, value, node } = key;
    const shared = path.findIndex((name, depth) => before[depth] !== name);
    for (let depth = shared; depth < path.length - 1; depth++)
      lines.push({ text: `${"  ".repeat(depth)}${path[depth]}:` });
    const written = stringify(shown(value, node), { collectionStyle: "flow", lineWidth: 0 }).trimEnd();
    lines.push({
      text: `${"  ".repeat(path.length - 1)}${path.at(-1)}: ${written}`,
      origin: originText(key, folder),
    });
    before = path;
  }
  const width = Math.max(...lines.map(({ text }) => text.length).filter((length) => length <= WIDEST));
  const chain = layers.map((layer) => layerName(layer, folder)).filter((name) => name !== SETTINGS);
  return [
    `# ${chain.join(", which extends ")}`,
    ...lines.map(({ text, origin }) => (origin === undefined ? text : `${text.padEnd(width)}  # ${origin}`)),
    "",
  ]
    .map(safeText)
    .join("\n");
}

/** The same as plain data: the profile with its defaults, and by key ("storage.size") where each value comes from. */
export function resolvedJson(layers: readonly Layer[], keys: readonly ResolvedKey[], folder: string): object {
  const profile: Record<string, Value> = {};
  const origins: Record<string, object> = {};
  for (const { path, value, layer, line } of keys) {
    let target = profile;
    for (const name of path.slice(0, -1)) {
      target[name] ??= {};
      target = target[name] as Record<string, Value>;
    }
    target[path.at(-1)!] = value;
    origins[path.join(".")] =
      layer === undefined
        ? { from: "default" }
        : { from: layerName(layer, folder), ...(line !== undefined && { line }) };
  }
  const files = layers.filter(({ origin }) => origin !== SETTINGS);
  return { chain: files.map((layer) => ({ name: layerName(layer, folder), file: layer.origin })), profile, origins };
}
