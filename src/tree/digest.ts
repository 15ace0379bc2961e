import { createHash } from "node:crypto";
import { type Tree, walk } from "./tree.js";

/**
 * A digest of names, metadata (whole seconds of times) and sizes, from which UUIDs follow: images of different trees have different ones. Folders'
 * times are not in it; they change without anything else changing. In hexadecimal.
 */
export function treeDigest(tree: Tree): string {
  const hash = createHash("sha256");
  for (const { path, node } of walk(tree)) {
    const time = node.type === "directory" ? "" : node.mtime.seconds;
    const size = node.type === "file" ? node.content.size : 0;
    hash.update(`${path}\0${node.type} ${node.mode} ${node.uid} ${node.gid} ${time} ${size}\n`, "latin1");
  }
  return hash.digest("hex");
}
