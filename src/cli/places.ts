/** Which paths of the host are which paths of the tree, for sort files and pseudo files, whose lines may have either. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, fromText, toBytes } from "../bytes/bytestring.js";

/** A source that is a folder. */
export interface Place {
  /** On the host, without symlinks. */
  readonly folder: string;
  /** In the tree; empty for its root. */
  readonly at: ByteString;
}

/** What a path of the host is called in the tree: once for each source that it is in. */
export function pathsInTree(places: readonly Place[], file: string): ByteString[] {
  const absolute = path.resolve(file);
  const parent = path.dirname(absolute);
  if (!fs.existsSync(parent)) return [];
  const real = path.join(fs.realpathSync(parent), path.basename(absolute));
  return places.flatMap(({ folder, at }) => {
    const inside = path.relative(folder, real);
    if (inside === ".." || inside.startsWith(`..${path.sep}`) || path.isAbsolute(inside)) return [];
    return [[at, fromText(inside.split(path.sep).join("/"))].filter((part) => part !== "").join("/") as ByteString];
  });
}

/**
 * What a line of a sort file may stand for, the likeliest first. As with mksquashfs, a path is one in the source, unless it
 * begins with "/", "./" or "../", which makes it one of the host. But a tar has no place on the host, and a path that is
 * found only the other way round is meant that way.
 */
export function sortedPaths(places: readonly Place[], name: ByteString): ByteString[] {
  const ofHost = pathsInTree(places, Buffer.from(toBytes(name)).toString("utf8"));
  if (name.split("/").includes("..")) return ofHost;
  const named = places.filter(({ at }) => at !== "").map(({ at }) => `${at}/${name}` as ByteString);
  const inTree = [name, ...named];
  return /^\.?\//.test(name) ? [...ofHost, ...inTree] : [...inTree, ...ofHost];
}
