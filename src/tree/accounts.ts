/** Names of users and groups as the tree's own etc/passwd and etc/group have them; the host's would mean others. */
import { fromText } from "../bytes/bytestring.js";
import { readContent } from "./node.js";
import { follow } from "./real-path.js";
import type { Tree } from "./tree.js";

export interface Accounts {
  readonly users: ReadonlyMap<string, number>;
  readonly groups: ReadonlyMap<string, number>;
}

/** Reads both files; a tree that lacks them has no names. */
export async function readAccounts(tree: Tree): Promise<Accounts> {
  return { users: await readIds(tree, "etc/passwd"), groups: await readIds(tree, "etc/group") };
}

/** The first and third of the fields between colons (passwd(5), group(5)). */
async function readIds(tree: Tree, path: string): Promise<Map<string, number>> {
  const ids = new Map<string, number>();
  const node = follow(tree, fromText(path));
  if (node?.type !== "file") return ids;
  for (const line of new TextDecoder().decode(await readContent(node.content)).split("\n")) {
    const [name, , id] = line.split(":");
    if (id !== undefined && /^\d+$/.test(id)) ids.set(name!, Number(id));
  }
  return ids;
}

/** The number that `text` is or names, or undefined. */
export function resolveId(text: string, ids: ReadonlyMap<string, number>): number | undefined {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : ids.get(text);
  return id !== undefined && id <= 0xffff_ffff ? id : undefined;
}
