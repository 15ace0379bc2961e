/** Who owns the nodes of a tree. */
import { ImgbuildError } from "../errors.js";
import { nodesOf, type Tree } from "./tree.js";

export interface Owner {
  /** 0 to 2^32 - 1. */
  readonly uid: number;
  readonly gid: number;
}

/** The owner that "UID:GID" names, in numbers. Throws a `usage` error. */
export function parseOwner(text: string): Owner {
  const match = /^(\d{1,10}):(\d{1,10})$/.exec(text);
  const [uid, gid] = [Number(match?.[1]), Number(match?.[2])];
  if (!(uid <= 0xffff_ffff && gid <= 0xffff_ffff)) {
    throw new ImgbuildError("usage", `"${text}" is not an owner`, {
      hint: "Write UID:GID as two numbers up to 4294967295, for example 0:0. Names would mean the host's users.",
    });
  }
  return { uid, gid };
}

/** Gives every node to `owner`. */
export function applyOwner(tree: Tree, { uid, gid }: Owner): void {
  for (const node of nodesOf(tree)) Object.assign(node, { uid, gid });
}
