/** Every feature on and off, over the block sizes: e2fsck is silent, dumpe2fs shows what was asked for, the kernel uses it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { type Ext4Options, parseFeatures, writeExt4 } from "../../src/ext4/index.js";
import {
  type Content,
  contentOf,
  type Node,
  newDirectory,
  newFile,
  newMetadata,
  type Symlink,
} from "../../src/tree/node.js";
import type { Tree } from "../../src/tree/tree.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import fc from "../support/fast-check.js";
import { randomTrees } from "../support/random-tree.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { assertClean, GiB, MiB, makeImage, OPTIONS, superblockFields } from "./support.js";

const BLOCK_SIZES = [1024, 2048, 4096] as const;

/** Sets that differ in what is on the disk, and what dumpe2fs then shows. */
const SETS: readonly { features: string; shown: string; inodeSize?: 128 }[] = [
  { features: "ext2", shown: "ext_attr resize_inode dir_index filetype sparse_super large_file" },
  { features: "ext3", shown: "has_journal ext_attr resize_inode dir_index filetype sparse_super large_file" },
  {
    features: "ext2,-dir_index,-filetype,-ext_attr,-resize_inode,-sparse_super",
    shown: "large_file",
    inodeSize: 128,
  },
  {
    features: "ext3,+uninit_bg,flex_bg,64bit,extent",
    shown:
      "has_journal ext_attr resize_inode dir_index filetype extent 64bit flex_bg sparse_super large_file uninit_bg",
  },
  {
    features: "-extent",
    shown:
      "has_journal ext_attr resize_inode dir_index filetype flex_bg sparse_super large_file huge_file dir_nlink extra_isize metadata_csum",
  },
  {
    features: "^flex_bg,^dir_index,-has_journal",
    shown: "ext_attr resize_inode filetype extent sparse_super large_file huge_file dir_nlink metadata_csum",
    inodeSize: 128,
  },
  {
    features: "ext4 -metadata_csum -filetype -resize_inode -huge_file -dir_nlink",
    shown: "has_journal ext_attr dir_index extent flex_bg sparse_super large_file extra_isize",
  },
];

/** `size` bytes that are no zeros but in holes, each block different. */
function patterned(size: number, data?: Content["data"]): Content {
  return {
    size,
    ...(data && { data }),
    async open() {
      return {
        async read(at, into) {
          for (let i = 0; i < into.length; i++) {
            const byte = at + i;
            const full = data === undefined || data.some(({ start, end }) => byte >= start && byte < end);
            into[i] = full ? ((byte >> 10) * 7 + 1) & 0xff || 1 : 0;
          }
        },
        async close() {},
      };
    },
  };
}

const symlink = (target: string): Symlink => ({ type: "symlink", ...newMetadata(0o777), target: fromText(target) });

/** Files around the ends of direct and indirect blocks, a large directory, and symlinks of both kinds. */
function tree(): Tree {
  const root = newDirectory();
  for (const blocks of [12, 13, 268, 269, 524, 1036, 1037]) {
    for (const blockSize of BLOCK_SIZES) {
      if (blocks * blockSize > 2 * MiB) continue;
      root.entries.set(fromText(`${blocks}-of-${blockSize}`), newFile(patterned(blocks * blockSize)));
    }
  }
  const holes = [
    { start: 0, end: 4096 },
    { start: 40_960, end: 45_056 },
    { start: 300_000 * 4096, end: 300_000 * 4096 + 5000 },
    { start: 1_500_000_000, end: 1_500_000_001 },
  ];
  root.entries.set(fromText("holes"), newFile(patterned(1_500_000_001, holes)));
  root.entries.set(fromText("double"), newFile(patterned(5 * MiB + 1)));
  const many = newDirectory();
  for (let i = 0; i < 700; i++)
    many.entries.set(fromText(`an-entry-with-a-long-name-${i}`), newFile(contentOf(new Uint8Array())));
  root.entries.set(fromText("many"), many);
  root.entries.set(fromText("fast"), symlink("target"));
  root.entries.set(fromText("slow"), symlink("t".repeat(200)));
  return { root };
}

for (const { features, shown, inodeSize } of SETS) {
  test(`${features}${inodeSize ? ` with inodes of ${inodeSize} bytes` : ""}`, async (t) => {
    if (lacks(t, "e2fsck", "dumpe2fs", "resize2fs") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    for (const blockSize of BLOCK_SIZES) {
      const options: Partial<Ext4Options> = { blockSize, features, ...(inodeSize && { inodeSize }) };
      const source = tree();
      await makeImage(image, 150 * MiB, source, options);
      assertClean(image);
      const fields = superblockFields(image);
      assert.deepEqual(new Set(fields.get("Filesystem features")!.split(" ")), new Set(shown.split(" ")));
      assert.equal(fields.get("Inode size"), String(inodeSize ?? 256));
      const ignore = ["lost+found", "holes"];
      const found = await mounted(image, { type: "ext4", writable: true }, async (folder) => {
        const described = await describeDirectory(folder, { ignore });
        assert.equal(sampleOf(`${folder}/holes`), "1,0,1,0,1,1");
        for (let i = 0; i < 500; i++) fs.writeFileSync(`${folder}/many/new-${i}`, Buffer.alloc(i * 100, 1));
        for (let i = 0; i < 600; i++) fs.rmSync(`${folder}/many/an-entry-with-a-long-name-${i}`);
        for (let i = 0; i < 100; i++) fs.mkdirSync(`${folder}/folder-${i}`);
        return described;
      });
      source.root.entries.delete(fromText("holes"));
      assert.deepEqual(found, await describeTree(source, { ignore }));
      assertClean(image);
      fs.truncateSync(image, 400 * MiB);
      // It was mounted, and resize2fs wants to see it checked since.
      run("e2fsck", ["-fy", image]);
      run("resize2fs", [image]);
      assertClean(image);
    }
  });
}

/** Whether there is data in a few places of the file with holes. */
function sampleOf(file: string): string {
  const fd = fs.openSync(file, "r");
  const byte = Buffer.alloc(1);
  const places = [0, 10_000, 40_960, 50_000, 300_000 * 4096, 1_500_000_000];
  const samples = places.map((at) => {
    assert.equal(fs.readSync(fd, byte, 0, 1, at), 1);
    return byte[0] === 0 ? 0 : 1;
  });
  fs.closeSync(fd);
  return samples.join();
}

test("random trees with random features", async (t) => {
  if (lacks(t, "e2fsck", "getfattr") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  // All that can be switched by itself. The attributes and the times of random trees want ext_attr and large inodes.
  const switches = [
    "has_journal",
    "dir_index",
    "filetype",
    "extent",
    "flex_bg",
    "large_file",
    "huge_file",
    "dir_nlink",
    "extra_isize",
  ];
  const lists = fc
    .tuple(
      fc.constantFrom("ext2", "ext3", "ext4"),
      fc.subarray(switches),
      fc.subarray(switches),
      fc.constantFrom("", "-metadata_csum", "-metadata_csum,uninit_bg", "extent,64bit", "-resize_inode,-sparse_super"),
    )
    .map(([base, on, off, more]) =>
      [base, ...on, ...off.map((name) => `-${name}`), ...(more === "" ? [] : [more])].join(),
    );
  const withBlockSize = (list: string, blockSize: number) =>
    blockSize === 4096 && list.includes("-large_file") && !list.includes("-resize_inode")
      ? `${list},-resize_inode`
      : list;
  await fc.assert(
    fc.asyncProperty(
      randomTrees,
      lists,
      fc.constantFrom(...BLOCK_SIZES),
      fc.integer({ min: 24 * MiB, max: 300 * MiB }),
      async (source, features, blockSize, size) => {
        await makeImage(image, size, source, { blockSize, features: withBlockSize(features, blockSize) });
        assertClean(image);
        const options = { ignore: ["lost+found"] };
        const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
        assert.deepEqual(found, await describeTree(source, options));
      },
    ),
    { numRuns: 40, seed: 4 },
  );
});

test("growth: descriptors for the size that is asked for, and a journal that suits it", async (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs", "resize2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  await makeImage(image, 64 * MiB, undefined, { growTo: 128 * GiB });
  assertClean(image);
  // 1024 groups of 128 MiB with descriptors of 32 bytes are 8 blocks, of which one is there.
  assert.equal(superblockFields(image).get("Reserved GDT blocks"), "7");
  fs.truncateSync(image, 128 * GiB);
  run("resize2fs", [image]);
  assert.equal(superblockFields(image).get("Reserved GDT blocks"), undefined);
  assertClean(image);
  for (const [size, growTo, journal] of [
    [64 * MiB, 128 * GiB, "16M"],
    [256 * MiB, 128 * GiB, "64M"],
    [256 * MiB, 512 * MiB, "16M"],
  ] as const) {
    await makeImage(image, size, undefined, { growTo });
    assertClean(image);
    assert.equal(superblockFields(image).get("Total journal size"), journal);
  }
});

test("the superblock has the hash seed, the mount options and what is done about errors", async (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  for (const errors of ["continue", "remount-ro", "panic"] as const) {
    await makeImage(image, 24 * MiB, undefined, {
      errors,
      mountOptions: "user_xattr,journal_data_writeback,discard,commit=30,noauto_da_alloc",
    });
    assertClean(image);
    const fields = superblockFields(image);
    const shown = { continue: "Continue", "remount-ro": "Remount read-only", panic: "Panic" };
    assert.equal(fields.get("Errors behavior"), shown[errors]);
    assert.equal(fields.get("Default mount options"), "journal_data_writeback user_xattr discard");
    assert.equal(fields.get("Mount options"), "commit=30,noauto_da_alloc");
    await mounted(image, { type: "ext4", writable: true }, (folder) => {
      const options = fs
        .readFileSync("/proc/mounts", "latin1")
        .split("\n")
        .find((line) => line.includes(` ${folder} `));
      assert.match(options!, /commit=30/);
    });
  }
});

test("what cannot be is refused by name", async () => {
  const refused = async (options: Partial<Ext4Options>, message: RegExp, hint = /./) => {
    await assert.rejects(writeExt4(new MemoryDevice(16 * MiB), undefined, { ...OPTIONS, ...options }), {
      code: "usage",
      message,
      hint,
    });
  };
  await refused({ features: "orphan_file" }, /orphan_file cannot be written/);
  await refused({ features: "+metadata_csum_seed" }, /metadata_csum_seed cannot be written/);
  await refused({ features: "dir_indx" }, /no feature "dir_indx"/);
  await refused({ features: "-dir_index,ext3" }, /ext3 is not the first/);
  await refused({ features: "ext2,64bit" }, /64bit needs extent/);
  await refused({ features: "-sparse_super" }, /resize_inode needs sparse_super/);
  await refused({ features: "-large_file" }, /resize_inode .* needs large_file/);
  await refused({ features: "uninit_bg" }, /metadata_csum and uninit_bg/);
  await refused({ features: "extra_isize", inodeSize: 128 }, /extra_isize needs inodes/);
  await refused(
    { features: "ext2", journalSize: 8 * MiB },
    /without the feature has_journal/,
    /has_journal on.*--journal-size/,
  );
  await refused(
    { features: "-resize_inode", growTo: GiB },
    /growing without resize_inode/,
    /resize_inode on.*--grow-to/,
  );
  await refused({ growTo: 128 * GiB, blockSize: 1024 }, /cannot be reserved/);
  await refused({ mountOptions: "journal_data,journal_data_ordered" }, /exclude each other/);
  await refused({ mountOptions: "o".repeat(64) }, /cannot hold the mount options/);
  await refused({ errors: "ignore" as never }, /"ignore"/);
  // What is off already may be switched off.
  await writeExt4(new MemoryDevice(16 * MiB), undefined, { ...OPTIONS, features: "-orphan_file,^casefold,-64bit" });
});

test("content that needs a feature that is off is refused with its path", async () => {
  const refused = async (source: Tree, options: Partial<Ext4Options>, message: RegExp) => {
    await assert.rejects(writeExt4(new MemoryDevice(64 * MiB), source, { ...OPTIONS, ...options }), {
      code: "not-representable",
      message,
    });
  };
  const attributes = newFile(contentOf(new Uint8Array()), {
    xattrs: new Map([[fromText("user.name"), new Uint8Array(1)]]),
  });
  await refused({ root: rootWith(attributes) }, { features: "-ext_attr" }, /ext_attr.*\/here/);
  const sparse = (size: number) => newFile({ ...patterned(size), data: [] });
  await refused({ root: rootWith(sparse(2 ** 31)) }, { features: "-large_file,-resize_inode" }, /large_file.*\/here/);
  await refused({ root: rootWith(sparse(2 ** 41)) }, { features: "ext2" }, /huge_file.*\/here/);
  await refused({ root: rootWith(sparse(2 ** 43)) }, { features: "-extent" }, /\/here: a file of 8796093022208 bytes/);
  const many = newDirectory();
  for (let i = 0; i < 65_000; i++) many.entries.set(fromText(String(i)), newDirectory());
  await refused({ root: rootWith(many) }, { features: "-dir_nlink" }, /dir_nlink.*\/here/);
});

function rootWith(node: Node) {
  const root = newDirectory();
  root.entries.set(fromText("here"), node);
  return root;
}

test("lists with empty places are refused, as mke2fs refuses them", (t) => {
  if (lacks(t, "mke2fs")) return;
  const image = path.join(temporaryFolder(t), "image");
  const accepts = (list: string) => {
    try {
      run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", list, image, "8M"]);
      return true;
    } catch {
      return false;
    }
  };
  for (const list of ["", "-dir_index", "-dir_index,", "-dir_index -huge_file", "-dir_index,-huge_file"]) {
    assert.doesNotThrow(() => parseFeatures(list), list);
    assert.ok(accepts(list), list);
  }
  for (const list of [",", " , ", ",-dir_index", "-dir_index,,", "-dir_index,,-huge_file"]) {
    const refused = { code: "usage", message: /empty place/, hint: /comma/ };
    assert.throws(() => parseFeatures(list), refused, list);
    assert.ok(!accepts(list), list);
  }
  for (const sign of ["-", "+", "^"]) {
    assert.throws(() => parseFeatures(sign), /no feature ""/);
    assert.ok(!accepts(sign), sign);
  }
});
