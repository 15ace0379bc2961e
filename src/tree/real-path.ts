/** Symlinks followed as the device will follow them: absolute ones from the tree's root, never out of the tree. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Node } from "./node.js";
import { lookup, splitPath, type Tree } from "./tree.js";

/** As many symlinks as the kernel follows in one path (path_resolution(7)). */
const MAX_SYMLINKS = 40;

/** What has to be known of something on the way: where it leads, when it is a symlink. */
interface Step {
  readonly type: Node["type"];
  readonly target?: ByteString | undefined;
}

/**
 * The path that `path` stands for once every symlink in it is followed, its last name included; with a leading "/". Names
 * that are not there are kept as they are, as in `realpath -m`; with `followLast` false, so is the last name. Throws a
 * `source-invalid` error for a loop of symlinks.
 */
export function realPath(tree: Tree, path: ByteString, followLast = true): ByteString {
  const steps = stepsOf(path, followLast);
  let step = steps.next();
  while (!step.done) step = steps.next(lookup(tree, step.value));
  return step.value;
}

/** The same where `find` says what is at a path, without following the last name. */
export async function realPathBy(
  find: (path: ByteString) => Promise<Step | undefined>,
  path: ByteString,
  followLast = true,
): Promise<ByteString> {
  const steps = stepsOf(path, followLast);
  let step = steps.next();
  while (!step.done) step = steps.next(await find(step.value));
  return step.value;
}

/** Yields every path on the way, to be told what is there, and returns the last one. */
function* stepsOf(path: ByteString, followLast: boolean): Generator<ByteString, ByteString, Step | undefined> {
  const pending: string[] = splitPath(path).reverse();
  const done: ByteString[] = [];
  let followed = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === "..") {
      done.pop();
      continue;
    }
    const found = yield [...done, name].join("/") as ByteString;
    if (found?.target === undefined || (pending.length === 0 && !followLast)) {
      done.push(name as ByteString);
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
  return `/${done.join("/")}` as ByteString;
}

/** The node that `path` leads to on the device, or undefined. Unlike `lookup` it follows symlinks. */
export function follow(tree: Tree, path: ByteString): Node | undefined {
  return lookup(tree, realPath(tree, path));
}
