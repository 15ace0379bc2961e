/** Trees that are deeper than any path, and than a stack of calls: an archive may hold them. */
import { fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";

/** So many folders "d", each in the one before, and in the last one the file "f" with the text "bottom". */
export function deepTree(depth: number): Tree {
  const root = newDirectory();
  let folder = root;
  for (let i = 0; i < depth; i++) {
    const next = newDirectory();
    folder.entries.set(fromText("d"), next);
    folder = next;
  }
  folder.entries.set(fromText("f"), newFile(contentOf(Buffer.from("bottom"))));
  return { root };
}

/** Goes down the folders "d" from `folder` as far as there are any, and does `use` there. Returns how many there were. */
export function descend(folder: string, use: () => void): number {
  const before = process.cwd();
  process.chdir(folder);
  try {
    for (let depth = 0; ; depth++) {
      try {
        process.chdir("d");
      } catch {
        use();
        return depth;
      }
    }
  } finally {
    process.chdir(before);
  }
}
