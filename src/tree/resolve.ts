/** Following symlinks inside a tree, as a system that has it for its root would. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Directory, Node } from "./node.js";
import { splitPath, type Tree } from "./tree.js";

/** As many symlinks as Linux follows in one path (MAXSYMLINKS). */
const MOST_SYMLINKS = 40;

/**
 * The node at `path` and its path without symlinks, or undefined. Symlinks on the way are followed, absolute ones from the
 * tree's root; ".." above the root is the root. The last name is followed unless `followLast` is false. Throws a
 * `source-invalid` error for symlinks that lead in a circle.
 */
export function resolvePath(
  tree: Tree,
  path: ByteString,
  followLast = true,
): { readonly node: Node; readonly path: ByteString } | undefined {
  const left = splitPath(path).reverse();
  const names: ByteString[] = [];
  const folders: Directory[] = [tree.root];
  let followed = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    if (name === "..") {
      if (names.length > 0) {
        names.pop();
        folders.pop();
      }
      continue;
    }
    const node = folders.at(-1)!.entries.get(name);
    if (node?.type === "symlink" && (left.length > 0 || followLast)) {
      if (++followed > MOST_SYMLINKS) {
        throw new ImgbuildError(
          "source-invalid",
          `${display(path)} leads through more than ${MOST_SYMLINKS} symlinks`,
          {
            hint: "Two symlinks may point at each other.",
          },
        );
      }
      if (node.target.startsWith("/")) {
        names.length = 0;
        folders.length = 1;
      }
      left.push(...splitPath(node.target).reverse());
    } else if (node?.type === "directory") {
      names.push(name);
      folders.push(node);
    } else {
      if (node === undefined || left.length > 0) return undefined;
      return { node, path: [...names, name].join("/") as ByteString };
    }
  }
  return { node: folders.at(-1)!, path: names.join("/") as ByteString };
}
