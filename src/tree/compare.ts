/** What differs between two trees, path by path. Contents of files of one size are read, side by side. */
import { type ByteString, compareBytes } from "../bytes/bytestring.js";
import { sameBytes } from "../bytes/same-bytes.js";
import type { Content, Metadata, Node, Timestamp } from "./node.js";
import { type Tree, type Visit, walk } from "./tree.js";

/** What of a node can be another: "links" is which earlier path is the same inode. */
export type Aspect =
  | "type"
  | "mode"
  | "owner"
  | "size"
  | "content"
  | "mtime"
  | "target"
  | "device"
  | "xattrs"
  | "links";

export interface Difference {
  readonly path: ByteString;
  readonly change: "added" | "removed" | "changed";
  /** What changed; empty for what was added or removed. */
  readonly aspects: readonly Aspect[];
  /** In the first and in the second tree. */
  readonly before?: Node;
  readonly after?: Node;
}

const CHUNK = 2 ** 20;

/**
 * The differences of `b` from `a` in byte order of the paths, as they would be walked. What is below a folder that was added
 * or removed is told too. Times are the same when their seconds are and one side knows no nanoseconds: not all formats do.
 * Rejects as reading the contents does.
 */
export async function* compareTrees(a: Tree, b: Tree): AsyncGenerator<Difference> {
  const left = new Side(a);
  const right = new Side(b);
  for (;;) {
    const [before, after] = [left.next, right.next];
    if (before === undefined && after === undefined) return;
    const order = before === undefined ? 1 : after === undefined ? -1 : comparePaths(before.path, after.path);
    if (order < 0) yield { path: before!.path, change: "removed", aspects: [], before: before!.node };
    else if (order > 0) yield { path: after!.path, change: "added", aspects: [], after: after!.node };
    else {
      const aspects = await compareNodes(before!.node, after!.node);
      if (left.firstPath !== right.firstPath) aspects.push("links");
      const { path } = before!;
      if (aspects.length > 0) yield { path, change: "changed", aspects, before: before!.node, after: after!.node };
    }
    if (order <= 0) left.advance();
    if (order >= 0) right.advance();
  }
}

/** A tree as it is walked. */
class Side {
  readonly #visits: Generator<Visit>;
  readonly #firstPaths = new Map<Node, ByteString>();
  /** Undefined behind the last one. */
  next: Visit | undefined;
  /** The first path of the node of `next`: another than its own for hard links. */
  firstPath: ByteString | undefined;

  constructor(tree: Tree) {
    this.#visits = walk(tree);
    this.advance();
  }

  advance(): void {
    this.next = this.#visits.next().value ?? undefined;
    if (this.next === undefined) return;
    const { node, path } = this.next;
    if (!this.#firstPaths.has(node)) this.#firstPaths.set(node, path);
    this.firstPath = this.#firstPaths.get(node);
  }
}

/** The order of `walk`: name by name, so that what is in a folder comes right behind it, whatever is beside the folder. */
function comparePaths(a: ByteString, b: ByteString): number {
  const [left, right] = [a.split("/"), b.split("/")];
  if (a === "" || b === "") return a.length - b.length;
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const order = compareBytes(left[i] as ByteString, right[i] as ByteString);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

async function compareNodes(a: Node, b: Node): Promise<Aspect[]> {
  const found: Aspect[] = [];
  if (a.type !== b.type) found.push("type");
  if (a.mode !== b.mode) found.push("mode");
  if (a.uid !== b.uid || a.gid !== b.gid) found.push("owner");
  if (a.type === "file" && b.type === "file") {
    if (a.content.size !== b.content.size) found.push("size", "content");
    else if (!(await sameContent(a.content, b.content))) found.push("content");
  }
  if (a.type === "symlink" && b.type === "symlink" && a.target !== b.target) found.push("target");
  if ("major" in a && "major" in b && (a.major !== b.major || a.minor !== b.minor)) found.push("device");
  if (!sameTime(a.mtime, b.mtime)) found.push("mtime");
  if (!sameXattrs(a.xattrs, b.xattrs)) found.push("xattrs");
  return found;
}

function sameTime(a: Timestamp, b: Timestamp): boolean {
  if (a.seconds !== b.seconds) return false;
  return a.nanoseconds === b.nanoseconds || a.nanoseconds === 0 || b.nanoseconds === 0;
}

function sameXattrs(a: Metadata["xattrs"], b: Metadata["xattrs"]): boolean {
  if (a.size !== b.size) return false;
  return [...a].every(([name, value]) => {
    const other = b.get(name);
    return other !== undefined && sameBytes(value, other);
  });
}

/** Whether two contents of the same length have the same bytes. What is a hole on both sides is not read. */
async function sameContent(a: Content, b: Content): Promise<boolean> {
  if (a.size === 0) return true;
  const left = await a.open();
  try {
    const right = await b.open();
    try {
      const one = new Uint8Array(Math.min(CHUNK, a.size));
      const two = new Uint8Array(one.length);
      const hasData = [dataIn(a), dataIn(b)] as const;
      for (let at = 0; at < a.size; at += CHUNK) {
        const length = Math.min(CHUNK, a.size - at);
        if (!hasData[0](at, at + length) && !hasData[1](at, at + length)) continue;
        const pieces = [one.subarray(0, length), two.subarray(0, length)] as const;
        await left.read(at, pieces[0]);
        await right.read(at, pieces[1]);
        if (!sameBytes(...pieces)) return false;
      }
      return true;
    } finally {
      await right.close();
    }
  } finally {
    await left.close();
  }
}

/** Whether data may be in a range. Ranges have to be asked for in ascending order. */
function dataIn({ data }: Content): (start: number, end: number) => boolean {
  if (data === undefined) return () => true;
  let next = 0;
  return (start, end) => {
    while (next < data.length && data[next]!.end <= start) next++;
    return next < data.length && data[next]!.start < end;
  };
}
