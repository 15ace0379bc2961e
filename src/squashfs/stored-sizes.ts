/** What each file takes of an image: for messages about one that became too large. */
import type { Node } from "../tree/node.js";
import { BLOCK_STORED, NO_FRAGMENT } from "./layout.js";
import type { Plan } from "./plan.js";
import type { StoredFiles } from "./stored-files.js";

/**
 * The bytes that the data of each regular file takes as it is stored: its blocks, and of a fragment block the share that its
 * end has of what is in there. A file whose bytes another one has already takes nothing. `fragmentSizes` are the stored sizes
 * of the fragment blocks.
 */
export function storedSizes(plan: Plan, stored: StoredFiles, fragmentSizes: readonly number[]): Map<Node, number> {
  const tails = new Map<number, { readonly fragment: number; readonly length: number }>();
  const filled = fragmentSizes.map(() => 0);
  const sizes = new Map<Node, number>();
  for (const file of plan.all()) {
    const node = plan.nodes[file]!;
    if (node.type !== "file" || stored.dataOf(file) !== file) continue;
    const { size } = node.content;
    let bytes = 0;
    for (const block of stored.blockSizes(file, size)) bytes += block & ~BLOCK_STORED;
    sizes.set(node, bytes);
    const fragment = stored.fragments[file]!;
    if (fragment === NO_FRAGMENT) continue;
    const length = stored.tailLength(size);
    tails.set(file, { fragment, length });
    filled[fragment]! += length;
  }
  for (const [file, { fragment, length }] of tails) {
    const node = plan.nodes[file]!;
    const share = Math.round((fragmentSizes[fragment]! * length) / filled[fragment]!);
    sizes.set(node, sizes.get(node)! + share);
  }
  return sizes;
}
