/**
 * Sort files as mksquashfs reads them: which files' data comes first in the image, so that what is read together while
 * booting lies together. A path and a priority from -32768 to 32767 on each line, the higher the earlier, 0 for what is not
 * named; "#" begins a comment line, a backslash stands in front of blanks in names. A folder's priority holds for everything
 * below it that has none of its own. Source: squashfs-tools 4.5.1, mksquashfs(1), -sort.
 */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Directory, Node } from "../tree/node.js";
import { realPath } from "../tree/real-path.js";
import { lookup, type Tree } from "../tree/tree.js";
import { MAX_PRIORITY, MIN_PRIORITY } from "./options.js";

export interface SortFileOptions {
  /**
   * Where else to look for a path of a line than in the tree: the paths in the tree that it may stand for, in the order in
   * which they are tried. People write paths of the host, too. Default: the path as it is.
   */
  readonly candidates?: (path: ByteString) => readonly ByteString[];
  /** Told once how many of the paths are not in the tree, with the first of them. */
  readonly notice?: (text: string) => void;
}

/** So many of the paths that are not there are named. */
const NAMED = 3;

/**
 * The priorities of the regular files of `tree` as `text` has them; `file` is its name, for messages. Where lines
 * contradict each other the last one holds. A hard link, which has its data once, has the priority of any of its names, or
 * else the highest of the folders that it is in. Symlinks on the way to a name are followed inside the tree.
 *
 * Throws a `source-invalid` error that names the line for one without a priority, or with something else.
 */
export function readSortFile(
  text: ByteString,
  tree: Tree,
  file: string,
  options: SortFileOptions = {},
): Map<Node, number> {
  const candidates = options.candidates ?? ((path) => [path]);
  const given = new Map<Node, number>();
  const missing: string[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const entry = readLine(line, `${file}:${i + 1}`);
    if (entry === undefined) continue;
    const node = candidates(entry.path)
      .map((path) => lookup(tree, realPath(tree, path, false)))
      .find((found) => found !== undefined);
    if (node === undefined) missing.push(display(entry.path));
    else given.set(node, entry.priority);
  }
  if (missing.length > 0) {
    const named = missing.slice(0, NAMED).join(", ") + (missing.length > NAMED ? " ..." : "");
    options.notice?.(`${file}: ${missing.length} of the paths are not in the source, and have no effect: ${named}`);
  }
  return spread(tree, given);
}

/** What a line says; undefined for comments and blank lines. Blanks are those of C's isspace, whatever a name's bytes are. */
function readLine(line: string, where: string): { path: ByteString; priority: number } | undefined {
  const text = line.replace(/^[ \t\v\f\r]+/, "");
  if (text.startsWith("#")) return undefined;
  const escaped = /^(?:\\.|[^ \t\v\f\r\\])*/s.exec(text)![0];
  const name = escaped.replace(/\\(.)/gs, "$1");
  if (name === "") return undefined;
  const rest = text.slice(escaped.length).replace(/^[ \t\v\f\r]+|[ \t\v\f\r]+$/g, "");
  const priority = /^[-+]?\d{1,9}$/.test(rest) ? Number(rest) : Number.NaN;
  if (!(priority >= MIN_PRIORITY && priority <= MAX_PRIORITY)) {
    const problem = rest === "" ? "there is no priority" : `"${display(rest as ByteString)}" is not a priority`;
    throw new ImgbuildError("source-invalid", `${where}: ${problem}`, {
      hint: `A line has a path and a whole number from ${MIN_PRIORITY} to ${MAX_PRIORITY}; a backslash stands in front of blanks in the path.`,
    });
  }
  // "folder/*" means the folder.
  return { path: name.replace(/\/\*$/, "") as ByteString, priority };
}

/** The priority of every file; none at all where nothing is given. */
function spread(tree: Tree, given: ReadonlyMap<Node, number>): Map<Node, number> {
  const priorities = new Map<Node, number>();
  if (given.size === 0) return priorities;
  const folders: [folder: Directory, priority: number][] = [[tree.root, given.get(tree.root) ?? 0]];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const [folder, inherited] = next;
    for (const node of folder.entries.values()) {
      const own = given.get(node);
      if (node.type === "directory") folders.push([node, own ?? inherited]);
      else if (node.type === "file") {
        priorities.set(node, own ?? Math.max(inherited, priorities.get(node) ?? MIN_PRIORITY));
      }
    }
  }
  return priorities;
}
