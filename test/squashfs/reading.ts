/** What the tests of the reader share: the tree that peers make images of, and devices that count what is read. */
import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import type { ReadableDevice } from "../../src/bytes/device.js";
import { FileReader } from "../../src/bytes/file-device.js";
import { openSquashfs, type SquashfsReader } from "../../src/squashfs/index.js";
import {
  type Content,
  contentOf,
  type Metadata,
  type Node,
  newDirectory,
  newFile,
  newMetadata,
} from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { name, noise, text } from "./image.js";

/** Opens the image in a file for the time of `use`. */
export async function reading<T>(image: string, use: (reader: SquashfsReader, device: FileReader) => Promise<T>) {
  const device = new FileReader(image);
  try {
    return await use(await openSquashfs(device), device);
  } finally {
    device.close();
  }
}

/** Counts the reads of a device, and the bytes that they asked for. */
export class CountingDevice implements ReadableDevice {
  reads = 0;
  bytes = 0;
  readonly #device: ReadableDevice;

  constructor(device: ReadableDevice) {
    this.#device = device;
  }

  get size(): number {
    return this.#device.size;
  }

  read(at: number, length: number): Promise<Uint8Array> {
    this.reads++;
    this.bytes += length;
    return this.#device.read(at, length);
  }
}

const attributes = (values: Record<string, Uint8Array>) =>
  new Map(Object.entries(values).map(([key, value]) => [name(key), value]));

/** Content whose data is at `start`, and of which the rest is holes: mksquashfs looks for zeros in files with holes only. */
export function sparse(bytes: Uint8Array, start: number, length: number): Content {
  return { ...contentOf(bytes), data: length === 0 ? [] : [{ start, end: start + length }] };
}

/**
 * Everything that Linux lets a file system have, and sizes around blocks of `blockSize`. Only files and directories have
 * attributes in "user.", which is all that it allows.
 */
export function everything(blockSize: number): Tree {
  const tree = { root: newDirectory({ mtime: { seconds: 1_600_000_000, nanoseconds: 0 } }) };
  const add = (path: string | ByteString, node: Node) => addNode(tree, path as ByteString, node);
  const metadata = (values: Partial<Metadata> = {}): Metadata => ({ ...newMetadata(0o644), ...values });
  for (const [label, size] of Object.entries({ none: 0, one: 1, less: -1, exact: 0, more: 1, most: 777 })) {
    const whole = label === "none" || label === "one" ? 0 : blockSize;
    add(`sizes/${label}`, newFile(contentOf(text(whole + size, size))));
    if (whole > 0) add(`sizes/noise-${label}`, newFile(contentOf(noise(2 * whole + size, size + 9))));
  }
  const dense = text(blockSize + 9);
  const holes = new Uint8Array(7 * blockSize + 5);
  holes.set(dense, 2 * blockSize - 3);
  add("holes/within", newFile(sparse(holes, 2 * blockSize - 3, dense.length)));
  add("holes/only", newFile(sparse(new Uint8Array(3 * blockSize), 0, 0)));
  add("holes/end", newFile(sparse(holes.slice(blockSize, 5 * blockSize), blockSize - 3, dense.length)));
  add("holes/zeros", newFile(contentOf(new Uint8Array(2 * blockSize + 1))));

  const linked = newFile(contentOf(text(50)), metadata({ mode: 0o4755, uid: 7, gid: 4_294_967_294 }));
  add("links/first", linked);
  add("links/deeper/second", linked);
  const fifo: Node = { type: "fifo", ...metadata({ mode: 0o600 }) };
  add("links/fifo", fifo);
  add("links/fifo again", fifo);
  add("links/symlink", { type: "symlink", ...metadata({ mode: 0o777 }), target: fromText("../../outside") });
  add("links/long", { type: "symlink", ...metadata({ mode: 0o777 }), target: fromText("a/".repeat(900)) });
  add("links/\xe9\xff", {
    type: "symlink",
    ...metadata({ mode: 0o777 }),
    target: fromBytes(noise(30).map((b) => b || 1)),
  });
  add("nodes/block", { type: "block", ...metadata({ mode: 0o660 }), major: 4095, minor: 2 ** 20 - 1 });
  add("nodes/character", { type: "character", ...metadata(), major: 5, minor: 1 });
  add("nodes/socket", { type: "socket", ...metadata({ mode: 0o777 }) });
  const labelled = { xattrs: attributes({ "security.test": text(8), "trusted.test": text(3) }) };
  add("nodes/labelled fifo", { type: "fifo", ...metadata(labelled) });
  add("nodes/labelled device", { type: "character", ...metadata(labelled), major: 1, minor: 3 });
  add("nodes/labelled link", { type: "symlink", ...metadata({ ...labelled, mode: 0o777 }), target: fromText("x") });

  const shared = noise(1500);
  for (let i = 0; i < 12; i++) {
    const xattrs = attributes({ "user.shared": shared, "user.own": text(i), [`trusted.${i}`]: noise(70, i + 1) });
    add(`xattrs/${i}`, newFile(contentOf(text(i)), metadata({ xattrs })));
    add(`xattrs/same ${i}`, newDirectory({ xattrs: attributes({ "user.same": shared, "security.x": noise(4) }) }));
  }
  for (const odd of [
    "...",
    "-",
    " ",
    "\n",
    "\\",
    "*",
    ".hidden",
    "\x80",
    "\xff\xfe",
    "n".repeat(255),
    "\xc3".repeat(255),
  ]) {
    add(`names/${odd}`, newFile(contentOf(text(odd.length))));
  }
  add("empty", newDirectory({ mode: 0o1777, uid: 65_536, mtime: { seconds: 2 ** 32 - 1, nanoseconds: 0 } }));
  add("a/b/c/d/e/f", newFile(contentOf(text(3)), metadata({ mode: 0, gid: 100_000 })));
  return tree;
}

/** `count` symbolic links in one directory; their names are long, so that its listing takes many metadata blocks. */
export function crowd(count: number): Tree {
  const tree = { root: newDirectory() };
  const folder = newDirectory();
  tree.root.entries.set(name("crowd"), folder);
  for (let i = 0; i < count; i++) {
    folder.entries.set(crowdName(i), { type: "symlink", ...newMetadata(0o777), target: name(`to_${i}`) });
  }
  return tree;
}

export const crowdName = (i: number): ByteString => name(`a_link_with_a_long_name_${String(i).padStart(6, "0")}`);
