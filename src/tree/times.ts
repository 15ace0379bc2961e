/** Modification times of a whole tree. */
import { nodesOf, type Tree } from "./tree.js";

/** Sets times after `epochSeconds` (SOURCE_DATE_EPOCH, seconds since 1970) to it; earlier ones stay. */
export function clampTimes(tree: Tree, epochSeconds: number): void {
  const epoch = { seconds: epochSeconds, nanoseconds: 0 };
  for (const node of nodesOf(tree)) {
    const { seconds, nanoseconds } = node.mtime;
    if (seconds > epochSeconds || (seconds === epochSeconds && nanoseconds > 0)) node.mtime = epoch;
  }
}

/**
 * The newest time of all nodes but folders, in seconds; 0 at least. Formats take it for times that they make up. Folders
 * are left out since their times change with every file that comes and goes, on the way to the same content.
 */
export function newestTime(tree: Tree): number {
  let newest = 0;
  for (const node of nodesOf(tree)) {
    if (node.type !== "directory" && node.mtime.seconds > newest) newest = node.mtime.seconds;
  }
  return newest;
}
