/** What takes the room: for messages about content that does not fit. */
import { type ByteString, compareBytes, display } from "../bytes/bytestring.js";
import type { Directory, Node } from "./node.js";
import { sortedEntries, type Tree } from "./tree.js";

export interface LargePath {
  readonly path: ByteString;
  readonly type: "directory" | "file";
  /** For a folder, with all that is in it; a file with several names counts at one of them. */
  readonly bytes: number;
}

/** What a node takes by itself, in bytes. */
export type SizeOf = (node: Node) => number;

/** The sum of the contents' sizes, holes included. */
const contentSize: SizeOf = (node) => (node.type === "file" ? node.content.size : 0);

/** A folder that owes more than this share to a single entry says no more than that entry does. */
const WRAPPING_SHARE = 0.8;

/**
 * The `count` largest folders and files by `sizeOf`, the largest first. The root, and folders that only wrap one large entry,
 * are left out.
 */
export function largestPaths(tree: Tree, count: number, sizeOf: SizeOf = contentSize): LargePath[] {
  const found: LargePath[] = [];
  const seen = new Set<Node>();
  // A tree may be deeper than the stack of calls. Parents come before what is in them, so that sums go up from the end.
  const folders: Folder[] = [{ path: "", node: tree.root, parent: undefined, sum: 0, largest: 0 }];
  for (let i = 0; i < folders.length; i++) {
    const folder = folders[i]!;
    for (const [name, child] of sortedEntries(folder.node)) {
      const path = folder.path === "" ? name : `${folder.path}/${name}`;
      if (child.type === "directory") {
        folders.push({ path, node: child, parent: folder, sum: sizeOf(child), largest: 0 });
      } else if (!seen.has(child)) {
        seen.add(child);
        const bytes = sizeOf(child);
        add(folder, bytes);
        if (child.type === "file") found.push({ path: path as ByteString, type: "file", bytes });
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

/** So many are named when something does not fit. */
const LISTED = 10;

/** What errors about capacity have as `data.largest`: the largest paths of a tree, for display, and their bytes. */
export function listLargest(tree: Tree, sizeOf?: SizeOf): { path: string; bytes: number }[] {
  return largestPaths(tree, LISTED, sizeOf).map(({ path, bytes }) => ({ path: display(path), bytes }));
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
