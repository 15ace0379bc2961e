/** Turns "does not fit" of a file system into what the user has to know: by how much, what is large, which key to set. */
import { display } from "../bytes/bytestring.js";
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { largestPaths } from "../tree/index.js";
import type { Tree } from "../tree/tree.js";

const LISTED = 10;

/** What did not take its content. */
export interface Container {
  /** What messages call it. */
  readonly name: string;
  readonly filesystem: string;
  /** The profile's key or the option that sets its size, up to the value: "partitions.rootfs.size=", "--size ". */
  readonly setting: string;
}

/** The error to throw for `error`: explained when it is about capacity or a size, else the same. */
export function explainCapacity(
  error: unknown,
  { name, filesystem, setting }: Container,
  tree: Tree | undefined,
): unknown {
  if (!(error instanceof ImgbuildError)) return error;
  const { needed, available } = error.data;
  const remedy = typeof needed === "number" ? `${setting}${alignUp(needed, 2 ** 20) / 2 ** 20}MiB` : undefined;
  // A size that the format itself does not have.
  if (error.code === "layout-conflict") {
    const key = remedy === undefined ? [] : [`Set ${remedy}.`];
    const hint = [error.hint ?? "", ...key].join(" ").trim();
    return new ImgbuildError(error.code, `${name}: ${error.message}`, { hint, data: { ...error.data, name, remedy } });
  }
  if (error.code !== "does-not-fit" || typeof needed !== "number" || typeof available !== "number") return error;
  const largest = tree === undefined ? [] : largestPaths(tree, LISTED);
  const list = largest.map(({ path, bytes }) => `${display(path)} ${formatSize(bytes)}`).join(", ");
  return new ImgbuildError(
    "does-not-fit",
    `${name} needs ${needed} bytes as ${filesystem}, ${needed - available} more than its ${available}`,
    {
      hint: `Set ${remedy} or more, or make it smaller.${list === "" ? "" : ` The largest in it, uncompressed: ${list}.`}`,
      data: {
        name,
        needed,
        available,
        over: needed - available,
        remedy,
        largest: largest.map(({ path, bytes }) => ({ path: display(path), bytes })),
      },
      cause: error,
    },
  );
}
