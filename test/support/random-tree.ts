/** Random root file systems for property tests: every node type, odd names, hard links, sparse files, xattrs. */

import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { contentOf, type Directory, type Metadata, type Node, newDirectory, newFile } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import fc from "./fast-check.js";

const ids = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 0, max: 2 ** 32 - 2 }));

const names: fc.Arbitrary<ByteString> = fc
  .oneof(
    { weight: 6, arbitrary: fc.string({ minLength: 1, maxLength: 12 }).map((text) => fromText(text)) },
    { weight: 2, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 20 }).map(fromBytes) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 255, maxLength: 255 }).map(fromBytes) },
  )
  .map((name) => name.replace(/[\0/]/g, "_") as ByteString)
  .filter((name) => name !== "." && name !== ".." && name !== "lost+found");

const xattrs: fc.Arbitrary<Map<ByteString, Uint8Array>> = fc
  .dictionary(
    fc
      .tuple(fc.constantFrom("user.", "trusted."), fc.stringMatching(/^[a-z]{1,12}$/))
      .map(([space, name]) => space + name),
    fc.uint8Array({ maxLength: 60 }),
    { maxKeys: 3 },
  )
  .map((values) => new Map(Object.entries(values)) as Map<ByteString, Uint8Array>);

/** Regular files and directories may carry user.* attributes; the kernel refuses them on other nodes. */
function metadata(withUserXattrs: boolean): fc.Arbitrary<Metadata> {
  return fc.record({
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: ids,
    gid: ids,
    mtime: fc.record({ seconds: fc.integer({ min: 0, max: 2 ** 32 - 1 }), nanoseconds: fc.constant(0) }),
    xattrs: withUserXattrs
      ? fc.oneof({ weight: 3, arbitrary: fc.constant(new Map()) }, { weight: 1, arbitrary: xattrs })
      : fc.constant(new Map()),
  }) as fc.Arbitrary<Metadata>;
}

/** Runs of one byte, of zeros and of noise, around block and fragment limits. */
const contents: fc.Arbitrary<Uint8Array> = fc
  .array(
    fc.record({
      length: fc.oneof(
        fc.integer({ min: 0, max: 300 }),
        fc.constantFrom(1, 4095, 4096, 4097, 8192, 131_072),
        fc.integer({ min: 0, max: 200_000 }),
      ),
      fill: fc.constantFrom("zero", "same", "noise"),
      seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    }),
    { maxLength: 4 },
  )
  .map((runs) => {
    const bytes = new Uint8Array(runs.reduce((sum, run) => sum + run.length, 0));
    let at = 0;
    for (const { length, fill, seed } of runs) {
      let state = seed;
      for (let i = 0; i < length; i++, at++) {
        if (fill === "noise") state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        bytes[at] = fill === "zero" ? 0 : fill === "same" ? seed : state >>> 16;
      }
    }
    return bytes;
  });

const targets = fc
  .oneof(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.uint8Array({ minLength: 1, maxLength: 1000 }))
  .map((bytes) => fromBytes(bytes.map((byte) => byte || 0x2f)));

const leaves: fc.Arbitrary<Node> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(contents, metadata(true)).map(([bytes, meta]) => newFile(contentOf(bytes), meta)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(targets, metadata(false))
      .map(([target, meta]): Node => ({ type: "symlink", ...meta, mode: 0o777, target })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({
        type: fc.constantFrom("block" as const, "character" as const),
        major: fc.integer({ min: 0, max: 4095 }),
        minor: fc.integer({ min: 0, max: 2 ** 20 - 1 }),
        meta: metadata(false),
      })
      .map(({ type, major, minor, meta }): Node => ({ type, major, minor, ...meta })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom("fifo" as const, "socket" as const), metadata(false))
      .map(([type, meta]): Node => ({ type, ...meta })),
  },
);

const { directory } = fc.letrec<{ directory: Directory; node: Node }>((tie) => ({
  directory: fc
    .tuple(metadata(true), fc.array(fc.tuple(names, tie("node")), { maxLength: 8 }))
    .map(([meta, entries]) => {
      const made = newDirectory(meta);
      for (const [name, node] of entries) made.entries.set(name, node);
      return made;
    }),
  node: fc.oneof({ maxDepth: 4, depthSize: "small" }, leaves, tie("directory")),
}));

/** A random tree. Some of its files have a second name elsewhere. */
export const randomTrees: fc.Arbitrary<Tree> = fc
  .tuple(directory, fc.array(fc.tuple(fc.nat(), fc.nat(), names), { maxLength: 4 }))
  .map(([root, links]) => {
    const tree = { root };
    const nodes = [...walk(tree)].map(({ node }) => node);
    const folders = nodes.filter((node) => node.type === "directory");
    const others = nodes.filter((node) => node.type !== "directory");
    for (const [from, to, name] of others.length > 0 ? links : []) {
      const { entries } = folders[to % folders.length]!;
      if (!entries.has(name)) entries.set(name, others[from % others.length]!);
    }
    return tree;
  });
