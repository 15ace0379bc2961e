import { createHash } from "node:crypto";
import type { Node } from "./node.js";
import { type Tree, walk } from "./tree.js";

/** So many characters are hashed at a time. */
const BATCH = 2 ** 15;

/** What a node of its type has beside its metadata; of a file, its size. */
function particulars(node: Node): string {
  if (node.type === "file") return `${node.content.size}`;
  if (node.type === "symlink") return node.target;
  if (node.type === "block" || node.type === "character") return `${node.major},${node.minor}`;
  return "";
}

/**
 * A digest from which UUIDs follow, so that images of different trees have different ones: of names, metadata (whole
 * seconds of times), link targets, device numbers and sizes, in hexadecimal. Two things are left out: what the files hold,
 * which would have to be read twice for it, and folders' times, which change without anything else changing.
 */
export function treeDigest(tree: Tree): string {
  const hash = createHash("sha256");
  // A call for each of a million nodes would take longer than what it hashes.
  let text = "";
  for (const { path, node } of walk(tree)) {
    const time = node.type === "directory" ? "" : node.mtime.seconds;
    text += `${path}\0${node.type} ${node.mode} ${node.uid} ${node.gid} ${time} ${particulars(node)}\0`;
    for (const [name, value] of node.xattrs.size === 0 ? [] : [...node.xattrs].sort()) {
      hash.update(`${text}${name}\0${value.length}\0`, "latin1").update(value);
      text = "";
    }
    if (text.length < BATCH) continue;
    hash.update(text, "latin1");
    text = "";
  }
  return hash.update(text, "latin1").digest("hex");
}
