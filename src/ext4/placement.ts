/**
 * Which inode number each node has, and near which group its blocks go. Like the kernel's own choice (Orlov): the folders of
 * the root are spread over the flex groups, and what is under one stays together.
 */
import type { Node } from "../tree/node.js";
import type { InodeAllocator } from "./allocator.js";
import type { Geometry } from "./geometry.js";
import { INODE } from "./layout.js";
import type { Survey, Visit } from "./survey.js";

export interface Placement {
  readonly numbers: ReadonlyMap<Node, number>;
  /** The flex group in which a node's blocks are looked for first. */
  flexGroup(visit: Visit): number;
}

export function placeNodes(survey: Survey, geometry: Geometry, inodes: InodeAllocator): Placement {
  const goals = spreadFolders(survey, geometry);
  const flexGroup = ({ folder }: Visit) => (folder < 0 ? 0 : goals[folder]!);
  const numbers = new Map<Node, number>([
    [survey.root, INODE.root],
    [survey.lostAndFound, INODE.lostAndFound],
  ]);
  for (const visit of survey.visits) {
    if (numbers.has(visit.node)) continue;
    const number = inodes.allocate(flexGroup(visit));
    numbers.set(visit.node, number);
    if (visit.node.type === "directory") inodes.countDirectory(number);
  }
  return { numbers, flexGroup };
}

/** A flex group for each folder of the root: of those with room for it, the first of those with the fewest folders. */
function spreadFolders({ folders, blocks }: Survey, geometry: Geometry): number[] {
  const room = geometry.free.map((runs) => runs.reduce((sum, { start, end }) => sum + end - start, 0));
  // Nearly full, there is nothing to spread into: one after the other keeps files whole.
  if (blocks > room.reduce((sum, free) => sum + free, 0) / 2) return folders.map(() => 0);
  const chosen = room.map(() => 0);
  return folders.map((needed) => {
    // A folder that is larger than any flex group begins in the emptiest one.
    const wanted = Math.min(needed, Math.max(...room));
    let goal = room.findIndex((free) => free >= wanted);
    for (let flex = goal + 1; flex < room.length; flex++) {
      if (room[flex]! >= wanted && chosen[flex]! < chosen[goal]!) goal = flex;
    }
    chosen[goal]!++;
    room[goal]! -= needed;
    return goal;
  });
}
