/** What a kernel module says about itself: the .modinfo section, NUL-terminated "key=value" strings (linux/module.h). */

export interface ModuleInfo {
  /** Modules that it does not link without, by canonical name. */
  readonly depends: readonly string[];
  /** Modules or aliases that are to be loaded before it where they exist (`softdep: pre:`), canonical. */
  readonly wants: readonly string[];
  /** Other names under which it can be asked for, canonical. */
  readonly aliases: readonly string[];
}

/** Module names are spelled with "-" and with "_" alike; inside the kernel it is always "_". */
export function canonical(name: string): string {
  return name.replaceAll("-", "_");
}

/** The canonical name of the module in the file `name`, and how it is compressed; undefined for other files. */
export function moduleOfFileName(
  name: string,
): { name: string; compression: "gzip" | "xz" | "zstd" | undefined } | undefined {
  const found = /^(.+)\.ko(\.gz|\.xz|\.zst)?$/.exec(name);
  if (!found) return undefined;
  const compression =
    found[2] === ".gz" ? "gzip" : found[2] === ".xz" ? "xz" : found[2] === ".zst" ? "zstd" : undefined;
  return { name: canonical(found[1]!), compression };
}

/** Parses the bytes of a .modinfo section. */
export function parseModinfo(section: Uint8Array): ModuleInfo {
  const depends: string[] = [];
  const wants: string[] = [];
  const aliases: string[] = [];
  for (const [key, value] of fields(section)) {
    if (key === "depends") depends.push(...value.split(",").filter(Boolean).map(canonical));
    if (key === "softdep") wants.push(...softBefore(value));
    if (key === "alias") aliases.push(canonical(value));
  }
  return { depends, wants, aliases };
}

/** The aliases in a `modules.builtin.modinfo`, whose strings are "module.key=value": alias to modules of the kernel image. */
export function parseBuiltinAliases(bytes: Uint8Array): Set<string> {
  const aliases = new Set<string>();
  for (const [key, value] of fields(bytes)) if (key.endsWith(".alias")) aliases.add(canonical(value));
  return aliases;
}

function* fields(bytes: Uint8Array): Generator<[key: string, value: string]> {
  for (const text of Buffer.from(bytes).toString("latin1").split("\0")) {
    const at = text.indexOf("=");
    if (at > 0) yield [text.slice(0, at), text.slice(at + 1)];
  }
}

/** "pre: a b post: c" -> a, b (modprobe.d(5), softdep). What comes after a module does not help to reach the root. */
function softBefore(value: string): string[] {
  const names: string[] = [];
  let before = false;
  for (const word of value.split(/\s+/).filter(Boolean)) {
    if (word.endsWith(":")) before = word === "pre:";
    else if (before) names.push(canonical(word));
  }
  return names;
}
