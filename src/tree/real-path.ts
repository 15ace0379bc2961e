/** Symlinks followed as the device will follow them: absolute ones from the tree's root, never out of the tree. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Node } from "./node.js";
import { splitPath, type Tree } from "./tree.js";

/** As many symlinks as the kernel follows in one path (path_resolution(7)). */
const MAX_SYMLINKS = 40;

/** What has to be known of something on the way: where it leads, when it is a symlink. */
interface Step {
  readonly type: Node["type"];
  readonly target?: ByteString | undefined;
}

/** Where a path leads: the path without symlinks, with a leading "/", and what is there. */
export interface Resolved<S> {
  readonly path: ByteString;
  readonly found: S | undefined;
}

/**
 * The path that `path` stands for once every symlink in it is followed, its last name included; with a leading "/". Names
 * that are not there are kept as they are, as in `realpath -m`; with `followLast` false, so is the last name. Throws a
 * `source-invalid` error for a loop of symlinks.
 */
export function realPath(tree: Tree, path: ByteString, followLast = true): ByteString {
  return resolveIn(tree, path, followLast).path;
}

/** The node that `path` leads to on the device, or undefined. Unlike `lookup` it follows symlinks. */
export function follow(tree: Tree, path: ByteString): Node | undefined {
  return resolveIn(tree, path, true).found;
}

/** The same in a file system of which `root` is the root, each step from the folder before. */
export async function resolvePath<S extends Step & { lookup(name: ByteString): Promise<S | undefined> }>(
  root: S,
  path: ByteString,
  followLast = true,
): Promise<Resolved<S>> {
  const steps = stepsOf(root, path, followLast);
  let step = steps.next();
  while (!step.done) step = steps.next(await step.value.folder.lookup(step.value.name));
  return step.value;
}

function resolveIn(tree: Tree, path: ByteString, followLast: boolean): Resolved<Node> {
  const steps = stepsOf<Node>(tree.root, path, followLast);
  let step = steps.next();
  while (!step.done) {
    const { folder, name } = step.value;
    step = steps.next(folder.type === "directory" ? folder.entries.get(name) : undefined);
  }
  return step.value;
}

/** Yields what has to be looked for on the way, to be told what is there, and returns where it leads. */
function* stepsOf<S extends Step>(
  root: S,
  path: ByteString,
  followLast: boolean,
): Generator<{ readonly folder: S; readonly name: ByteString }, Resolved<S>, S | undefined> {
  const pending = splitPath(path).reverse();
  const done: { readonly name: ByteString; readonly found: S | undefined }[] = [];
  const last = () => (done.length === 0 ? root : done.at(-1)!.found);
  let followed = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === "..") {
      done.pop();
      continue;
    }
    const folder = last();
    const found = folder && (yield { folder, name });
    if (found?.target === undefined || (pending.length === 0 && !followLast)) {
      done.push({ name, found });
      continue;
    }
    if (++followed > MAX_SYMLINKS) {
      throw new ImgbuildError("source-invalid", `${display(path)} leads through more than ${MAX_SYMLINKS} symlinks`, {
        hint: "Symlinks in the root file system point at each other in a circle; remove or mend one of them.",
      });
    }
    if (found.target.startsWith("/")) done.length = 0;
    pending.push(...splitPath(found.target).reverse());
  }
  return { path: `/${done.map(({ name }) => name).join("/")}` as ByteString, found: last() };
}
