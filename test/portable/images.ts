/** Images of one tree by every compressor, and what is in an image. It runs in Node and in a web realm, so all that it imports is portable. */
import { crc32 } from "../../src/bytes/checksum.js";
import { fromText, MemoryDevice } from "../../src/bytes/index.js";
import { COMPRESSOR_NAMES, openSquashfs, writeSquashfs } from "../../src/squashfs/index.js";
import {
  addNode,
  contentOf,
  newDirectory,
  newFile,
  newMetadata,
  readContent,
  type Tree,
  walk,
} from "../../src/tree/index.js";

/** Has all that the writer treats in ways of their own: many blocks, fragments, duplicates, zeros, links, attributes. */
export function sampleTree(): Tree {
  const tree: Tree = { root: newDirectory() };
  const add = (path: string, bytes: Uint8Array) => addNode(tree, fromText(path), newFile(contentOf(bytes)));
  const mixed = new Uint8Array(700_001);
  let state = 1;
  for (let i = 0; i < mixed.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    mixed[i] = i % 70_000 < 60_000 ? (state >>> 28) + (i >>> 12) : state >>> 16;
  }
  add("long", mixed);
  add("again", mixed.slice());
  add("zeros", new Uint8Array(500_000));
  const holes = mixed.slice();
  holes.fill(0, 131_072, 524_288);
  add("with/holes", holes);
  for (let i = 0; i < 300; i++) add(`many/${i}`, mixed.slice(i * 1000, i * 1000 + i));
  const node = newFile(contentOf(fromTextBytes("linked")), { mode: 0o4755, uid: 70_000, gid: 3 });
  node.xattrs = new Map([[fromText("user.note"), mixed.slice(0, 200)]]);
  addNode(tree, fromText("one name"), node);
  addNode(tree, fromText("another name"), node);
  addNode(tree, fromText("link"), { type: "symlink", ...newMetadata(0o777), target: fromText("über") });
  addNode(tree, fromText("null"), { type: "character", ...newMetadata(0o666), major: 1, minor: 3 });
  return tree;
}

const fromTextBytes = (text: string) => new TextEncoder().encode(text);

/** The images by their compressors' names. */
export async function writeAll(): Promise<Map<string, Uint8Array>> {
  const images = new Map<string, Uint8Array>();
  for (const compressor of COMPRESSOR_NAMES) {
    const device = new MemoryDevice(2 ** 22);
    const { size } = await writeSquashfs(device, sampleTree(), { time: 1, compressor, exports: true });
    images.set(compressor, device.bytes.subarray(0, size));
  }
  return images;
}

/** What a tree holds, one line a name: metadata, attributes and contents, these as CRC-32. */
export async function describeTree(tree: Tree): Promise<string> {
  const lines: string[] = [];
  for (const { path, node } of walk(tree)) {
    const { type, mode, uid, gid, mtime, xattrs } = node;
    const values = [...xattrs].map(([name, value]) => `${name}=${crc32(value)}`);
    const facts: unknown[] = [path, type, mode, uid, gid, mtime.seconds, ...values];
    if (type === "file") facts.push(node.content.size, crc32(await readContent(node.content)));
    if (type === "symlink") facts.push(node.target);
    if (type === "block" || type === "character") facts.push(node.major, node.minor);
    lines.push(facts.join(" "));
  }
  return lines.join("\n");
}

/** The same of what an image holds. */
export async function describe(image: Uint8Array): Promise<string> {
  return describeTree(await (await openSquashfs(new MemoryDevice(image))).tree());
}
