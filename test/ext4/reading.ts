/** What the tests of the reader share: a tree with one of everything, and file systems that are opened for a moment. */
import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { FileReader } from "../../src/bytes/file-device.js";
import { type Ext4Reader, openExt4 } from "../../src/ext4/index.js";
import { type Content, contentOf, type Metadata, type Node, newDirectory, newFile } from "../../src/tree/node.js";
import { addNode, type Tree } from "../../src/tree/tree.js";
import { type DescribeOptions, describeTree } from "../support/describe.js";
import { run } from "../support/tools.js";

/** Opens the file system in a file for the time of `use`. */
export async function reading<T>(
  image: string,
  use: (reader: Ext4Reader, device: FileReader) => Promise<T>,
): Promise<T> {
  const device = new FileReader(image);
  try {
    return await use(await openExt4(device), device);
  } finally {
    device.close();
  }
}

/** What our reader finds in a file system, but for lost+found. */
export function describeImage(image: string, options: DescribeOptions = {}): Promise<Map<string, string>> {
  return reading(image, async (reader) => describeTree(await reader.tree(), { ignore: ["lost+found"], ...options }));
}

/** Makes a file system of `size` KiB with mke2fs, of the files in `source`. */
export function mke2fs(image: string, size: number, options: readonly string[], source?: string): void {
  const from = source === undefined ? [] : ["-d", source];
  run("mke2fs", ["-q", "-F", ...options, ...from, image, `${size}k`]);
}

/** `length` bytes that follow from `seed`, and that nothing else is like. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** `bytes` from `start` on in a file of `size` bytes, all else of which is a hole. */
function holed(size: number, parts: readonly (readonly [start: number, bytes: Uint8Array])[]): Content {
  const whole = new Uint8Array(size);
  for (const [start, bytes] of parts) whole.set(bytes, start);
  return { ...contentOf(whole), data: parts.map(([start, bytes]) => ({ start, end: start + bytes.length })) };
}

const attributes = (values: Record<string, Uint8Array>) =>
  new Map(Object.entries(values).map(([key, value]) => [fromText(key), value]));

/** In the form of getxattr(2): rwx for the owner and user 70,000, r-x for the group and others. */
const ACL = Uint8Array.from(
  [
    [2, 0, 0, 0],
    [1, 0, 7, 0, 255, 255, 255, 255],
    [2, 0, 7, 0, 0x70, 0x11, 1, 0],
    [4, 0, 5, 0, 255, 255, 255, 255],
    [16, 0, 7, 0, 255, 255, 255, 255],
    [32, 0, 5, 0, 255, 255, 255, 255],
  ].flat(),
);

/**
 * Everything that Linux lets a file system have, and sizes around blocks of `blockSize` and around what fits into an inode.
 * Of the attributes `most` bytes are the largest.
 */
export function everything(blockSize: number, most = 1500): Tree {
  const tree: Tree = { root: newDirectory({ mtime: { seconds: 1_500_000_000, nanoseconds: 0 } }) };
  const time = (i: number) => ({ mtime: { seconds: 1_000_000_000 + 1000 * i, nanoseconds: 0 } });
  let count = 0;
  const add = (path: string, node: Node) => addNode(tree, fromText(path), node, { mode: 0o711, uid: 3, ...time(0) });
  const file = (path: string, content: Content | Uint8Array, metadata: Partial<Metadata> = {}) => {
    const bytes = content instanceof Uint8Array ? contentOf(content) : content;
    const node = newFile(bytes, { ...time(++count), mode: 0o640, uid: 1000, gid: 70_000, ...metadata });
    add(path, node);
    return node;
  };
  const plain = (mode: number, metadata: Partial<Metadata> = {}): Metadata => {
    const { xattrs, mtime } = newDirectory(time(++count));
    return { mode, uid: 5, gid: 4_294_967_294, mtime, xattrs, ...metadata };
  };

  for (const size of [0, 1, 59, 60, 61, 100, 160, 161, blockSize - 1, blockSize, blockSize + 1, 12 * blockSize + 1]) {
    file(`sizes/${size}`, noise(size, size + 1));
  }
  file("sizes/indirect", noise((12 + blockSize / 4 + 3) * blockSize, 7));
  file("holes/front", holed(40 * blockSize, [[30 * blockSize, noise(blockSize)]]));
  file("holes/behind", holed(400_000, [[0, noise(5)]]));
  file("holes/only", holed(9 * blockSize + 5, []));
  const pieces = Array.from({ length: 300 }, (_, i) => [2 * i * blockSize, noise(blockSize, i + 1)] as const);
  file("holes/many", holed(600 * blockSize, pieces));

  const linked = file("links/first", noise(50), { mode: 0o4755 });
  add("links/deeper/second", linked);
  add("third", linked);
  const symlink = (path: string, target: ByteString) => add(path, { type: "symlink", ...plain(0o777), target });
  for (const length of [1, 59, 60, 61, 200, Math.min(4000, blockSize - 1)]) {
    symlink(`links/to ${length}`, fromBytes(noise(length, length).map((byte) => byte || 1)));
  }
  add("nodes/fifo", { type: "fifo", ...plain(0o600) });
  add("nodes/socket", { type: "socket", ...plain(0o755) });
  add("nodes/old", { type: "block", ...plain(0o660), major: 8, minor: 255 });
  add("nodes/new", { type: "character", ...plain(0o666), major: 4095, minor: 2 ** 20 - 1 });

  for (let i = 0; i < 6; i++) {
    const shared = attributes({ "user.shared": noise(most), "trusted.empty": noise(0), "security.x": noise(3) });
    file(`xattrs/${i}`, noise(i), { xattrs: shared });
  }
  file("xattrs/small", noise(3), { xattrs: attributes({ "user.a": noise(10), "user.b": noise(1) }) });
  file("xattrs/acl", noise(4), { mode: 0o775, xattrs: attributes({ "system.posix_acl_access": ACL }) });
  add("xattrs/default", newDirectory({ ...time(3), xattrs: attributes({ "system.posix_acl_default": ACL }) }));

  for (const odd of ["...", "-", " ", "\n", "\\", "n".repeat(255)]) file(`names/${odd}`, noise(odd.length));
  addNode(tree, "names/\xff\xfe\x80" as ByteString, newFile(contentOf(noise(3)), time(1)));
  for (let i = 0; i < 400; i++) file(`crowd/a name that is somewhat longer ${i}`, noise(i % 3));
  add("empty", newDirectory({ ...time(5), mode: 0o1777 }));
  file("a/b/c/d/e/f", noise(3));
  return tree;
}
