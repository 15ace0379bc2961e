/** What takes the room: for messages about content that does not fit. */
import { type ByteString, compareBytes } from "../bytes/bytestring.js";
import type { Directory, Node } from "./node.js";
import { sortedEntries, type Tree } from "./tree.js";

export interface LargePath {
  readonly path: ByteString;
  readonly type: "directory" | "file";
  /** Sum of the contents' sizes, holes included; a file with several names counts at the first. */
  readonly bytes: number;
}

/** A folder that owes more than this share to a single entry says no more than that entry does. */
const WRAPPING_SHARE = 0.8;

/** The `count` largest folders and files, the largest first. The root, and folders that only wrap one large entry, are left out. */
export function largestPaths(tree: Tree, count: number): LargePath[] {
  const found: LargePath[] = [];
  const seen = new Set<Node>();
  const measure = (path: string, node: Directory): number => {
    let sum = 0;
    let largest = 0;
    for (const [name, child] of sortedEntries(node)) {
      const childPath = path === "" ? name : `${path}/${name}`;
      let bytes = 0;
      if (child.type === "directory") bytes = measure(childPath, child);
      else if (child.type === "file" && !seen.has(child)) {
        seen.add(child);
        bytes = child.content.size;
        found.push({ path: childPath as ByteString, type: "file", bytes });
      }
      sum += bytes;
      largest = Math.max(largest, bytes);
    }
    if (path !== "" && largest <= WRAPPING_SHARE * sum)
      found.push({ path: path as ByteString, type: "directory", bytes: sum });
    return sum;
  };
  measure("", tree.root);
  return found
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes || compareBytes(a.path, b.path))
    .slice(0, count);
}
