/** What takes the room: for messages about content that does not fit. */
import { type ByteString, compareBytes } from "../bytes/bytestring.js";
import type { Directory, Node } from "./node.js";
import { sortedEntries, type Tree } from "./tree.js";

export interface LargePath {
  readonly path: ByteString;
  readonly type: "directory" | "file";
  /** Sum of the contents' sizes, holes included; a file with several names counts at one of them. */
  readonly bytes: number;
}

/** A folder that owes more than this share to a single entry says no more than that entry does. */
const WRAPPING_SHARE = 0.8;

/** The `count` largest folders and files, the largest first. The root, and folders that only wrap one large entry, are left out. */
export function largestPaths(tree: Tree, count: number): LargePath[] {
  const found: LargePath[] = [];
  const seen = new Set<Node>();
  // A tree may be deeper than the stack of calls. Parents come before what is in them, so that sums go up from the end.
  const folders: Folder[] = [{ path: "", node: tree.root, parent: undefined, sum: 0, largest: 0 }];
  for (let i = 0; i < folders.length; i++) {
    const folder = folders[i]!;
    for (const [name, child] of sortedEntries(folder.node)) {
      const path = folder.path === "" ? name : `${folder.path}/${name}`;
      if (child.type === "directory") folders.push({ path, node: child, parent: folder, sum: 0, largest: 0 });
      else if (child.type === "file" && !seen.has(child)) {
        seen.add(child);
        add(folder, child.content.size);
        found.push({ path: path as ByteString, type: "file", bytes: child.content.size });
      }
    }
  }
  for (const { path, parent, sum, largest } of folders.reverse()) {
    if (parent === undefined) continue;
    add(parent, sum);
    if (largest <= WRAPPING_SHARE * sum) found.push({ path: path as ByteString, type: "directory", bytes: sum });
  }
  return found
    .filter(({ bytes }) => bytes > 0)
    .sort((a, b) => b.bytes - a.bytes || compareBytes(a.path, b.path))
    .slice(0, count);
}

interface Folder {
  readonly path: string;
  readonly node: Directory;
  readonly parent: Folder | undefined;
  /** Of all that is in it, and the largest single entry. */
  sum: number;
  largest: number;
}

function add(folder: Folder, bytes: number): void {
  folder.sum += bytes;
  folder.largest = Math.max(folder.largest, bytes);
}
