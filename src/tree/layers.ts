/** Several trees as one: laid over each other, as the layers of a container image and overlays of a root file system are. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Directory } from "./node.js";
import { makeDirectories, type Tree } from "./tree.js";

export interface Layer extends Tree {
  /** How messages call it. */
  readonly name: string;
  /** Folders whose metadata nobody described; those of the layers below keep theirs. */
  readonly implied?: ReadonlySet<Directory> | undefined;
}

/**
 * Lays `upper` over `lower`, at the folder `at` of it, which is made if it is missing. Folders that both have become one,
 * with the metadata of `upper`; in place of everything else comes what `upper` has. Hard links stay as they are within each
 * of the two. `lower` is changed, and takes over the nodes of `upper`.
 *
 * Throws a `source-invalid` error where one has a folder and the other something else, as `cp -a` does: a folder in place
 * of the symlink /bin would leave a root file system without its programs, and a file in place of a folder takes more
 * away than anyone would write down as a file.
 */
export function layOver(lower: Tree, upper: Layer, at = "" as ByteString): void {
  const pending: [path: string, lower: Directory, upper: Directory][] = [
    [at === "" ? "" : `${at}/`, makeDirectories(lower, at), upper.root],
  ];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [path, below, above] = next;
    if (!upper.implied?.has(above)) {
      const { mode, uid, gid, mtime, xattrs } = above;
      Object.assign(below, { mode, uid, gid, mtime, xattrs });
    }
    for (const [name, node] of above.entries) {
      const existing = below.entries.get(name);
      if (existing?.type === "directory" && node.type === "directory") {
        pending.push([`${path}${name}/`, existing, node]);
        continue;
      }
      if (existing !== undefined && (existing.type === "directory" || node.type === "directory")) {
        throw typeChange(`${path}${name}` as ByteString, existing.type, node.type, upper.name);
      }
      below.entries.set(name, node);
    }
  }
}

function typeChange(path: ByteString, below: string, above: string, layer: string): ImgbuildError {
  const article = (type: string) => (type === "directory" ? "a folder" : `a ${type}`);
  return new ImgbuildError(
    "source-invalid",
    `${display(path)} is ${article(above)} in ${layer}, and ${article(below)} in a source before it`,
    { hint: "A folder is not replaced, nor does it replace anything: make both the same, or leave one of them out." },
  );
}
