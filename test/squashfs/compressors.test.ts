/** Images of each compressor with options of its own, before the kernel and everybody else who reads them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { display } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { COMPRESSOR_NAMES, type CompressorName } from "../../src/squashfs/index.js";
import { readContent } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import { describeTree } from "../support/describe.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import {
  assertExtracts,
  assertKernelShows,
  imageBytes,
  noise,
  type Options,
  text,
  treeOf,
  writeImage,
} from "./image.js";
import { reading } from "./reading.js";

const KIB = 1024;
const program = fs.readFileSync(process.execPath).subarray(2 ** 22, 2 ** 22 + 300_000);

/** What compresses and what does not, files at the limits of blocks, and metadata of several blocks. */
function treeFor(blockSize: number): Tree {
  const files: Record<string, Uint8Array> = { program, noise: noise(140_000), zeros: new Uint8Array(200_000) };
  for (const size of [0, 1, 2, 13, blockSize - 1, blockSize, blockSize + 1, 2 * blockSize + 17]) {
    files[`text-${size}`] = text(size, 3);
    files[`noise-${size}`] = noise(size, size + 1);
  }
  for (let i = 0; i < 400; i++) files[`many/${"name".repeat(i % 20)}${i}`] = text(i, i + 1);
  return treeOf(files);
}

/** Options, and what unsquashfs shows of those that are stored: it shows options only where they are. */
const CASES: Readonly<Record<CompressorName, Readonly<Record<string, readonly [Options, ...RegExp[]]>>>> = {
  gzip: {
    default: [{}, /compression-level 6$/m],
    "level 1": [{ level: 1 }, /compression-level 1$/m],
    "level 9": [{ level: 9 }],
  },
  xz: {
    default: [{}],
    "with filters": [{ xz: { filters: ["arm", "x86"] } }, /Dictionary size \d+/, /Filters selected: x86, arm$/m],
    "with every filter": [
      { level: 1, xz: { filters: ["sparc", "armthumb", "arm", "powerpc", "x86"] } },
      /Filters selected: x86, powerpc, arm, armthumb, sparc$/m,
    ],
    "level 0": [{ level: 0 }],
    "level 9": [{ level: 9 }],
  },
  zstd: {
    default: [{}],
    "level 3": [{ level: 3 }, /compression-level 3$/m],
    "level 22": [{ level: 22 }, /compression-level 22$/m],
  },
  lz4: {
    default: [{}, /High Compression option specified \(-Xhc\)$/m],
    "level 1": [{ level: 1 }],
    "level 5": [{ level: 5 }, /High Compression option specified \(-Xhc\)$/m],
  },
  lzo: {
    default: [{}],
    "level 1": [{ level: 1 }, /algorithm lzo1x_999$/m, /compression level 1$/m],
    "level 5": [{ level: 5 }, /compression level 5$/m],
    "level 9": [{ level: 9 }, /compression level 9$/m],
  },
};

for (const compressor of COMPRESSOR_NAMES) {
  for (const [what, [chosen, ...shown]] of Object.entries(CASES[compressor])) {
    test(`${compressor}, ${what}: the kernel, unsquashfs and our reader read it, in blocks of every size`, async (t) => {
      if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
      const folder = temporaryFolder(t);
      for (const blockSize of [4 * KIB, 128 * KIB, 1024 * KIB]) {
        const tree = treeFor(blockSize);
        const { image } = await writeImage(folder, tree, { compressor, ...chosen, blockSize });
        await assertKernelShows(image, tree);
        if (what === "default") await assertExtracts(folder, image, tree);
        await reading(image, async (reader) => {
          assert.deepEqual(await describeTree(await reader.tree()), await describeTree(tree));
        });
        const facts = run("unsquashfs", ["-s", image]);
        assert.match(facts, new RegExp(`^Compression ${compressor}$`, "m"));
        for (const pattern of shown) assert.match(facts, pattern);
        assert.equal(/Dictionary size|ompression.level|-Xhc/.test(facts), shown.length > 0, facts);
      }
    });
  }
}

/** Everybody else who reads SquashFS, and which compressors they know. Each unpacks `image` into `folder`. */
const READERS: readonly {
  readonly program: string;
  readonly knows: readonly CompressorName[];
  readonly args: (image: string, folder: string) => string[];
}[] = [
  // Of the version in Debian 12.
  { program: "7z", knows: ["gzip", "xz", "lzo"], args: (image, folder) => ["x", `-o${folder}`, image] },
  {
    program: "rdsquashfs",
    knows: COMPRESSOR_NAMES,
    args: (image, folder) => ["--quiet", "--unpack-path", "/", "--unpack-root", folder, image],
  },
];

for (const { program, knows, args } of READERS) {
  test(`${program} reads the bytes of every file`, async (t) => {
    if (lacks(t, program)) return;
    const folder = temporaryFolder(t);
    for (const compressor of knows) {
      const tree = treeFor(128 * KIB);
      const { image } = await writeImage(folder, tree, { compressor });
      const target = path.join(folder, compressor);
      fs.mkdirSync(target);
      run(program, args(image, target));
      for (const { path: at, node } of walk(tree)) {
        if (node.type !== "file") continue;
        const found = fs.readFileSync(path.join(target, display(at)));
        assert.ok(found.equals(await readContent(node.content)), `${compressor}: ${at}`);
      }
    }
  });
}

const TREE = treeFor(128 * KIB);

test("a dictionary smaller than the block", async (t) => {
  if (lacksRoot(t) || lacks(t, "unsquashfs", "getfattr")) return;
  const folder = temporaryFolder(t);
  for (const dictionarySize of [8 * KIB, 48 * KIB, 96 * KIB, 64 * KIB]) {
    const { image } = await writeImage(folder, TREE, { compressor: "xz", xz: { dictionarySize } });
    await assertKernelShows(image, TREE);
    assert.match(run("unsquashfs", ["-s", image]), new RegExp(`Dictionary size ${dictionarySize}$`, "m"));
  }
});

test("the number of workers changes nothing", async () => {
  for (const compressor of COMPRESSOR_NAMES) {
    const options: Options = { compressor, level: 1, blockSize: 16 * KIB };
    const one = await imageBytes(TREE, { ...options, jobs: 1 });
    const three = await imageBytes(TREE, { ...options, jobs: 3 });
    assert.ok(Buffer.from(one).equals(three));
  }
});

test("impossible options are refused, and the message says what is possible", async () => {
  const refused: readonly (readonly [Options, RegExp, RegExp])[] = [
    [{ compressor: "zstd", xz: {} }, /options for xz .* zstd/, /xz/],
    [{ xz: { filters: ["arm"] } }, /options for xz .* gzip/, /xz/],
    [{ compressor: "xz", xz: { filters: ["arm64" as "arm"] } }, /"arm64"/, /armthumb/],
    [{ compressor: "xz", xz: { filters: ["ia64" as "arm"] } }, /"ia64"/, /armthumb/],
    [{ compressor: "xz", xz: { dictionarySize: 4096 } }, /4096/, /8192 to 131072/],
    [{ compressor: "xz", xz: { dictionarySize: 262_144 } }, /262144/, /8192 to 131072/],
    [{ compressor: "xz", xz: { dictionarySize: 10_000 } }, /10000/, /power of two/],
    [{ compressor: "xz", xz: { dictionarySize: 8192.5 } }, /8192\.5/, /power of two/],
    [{ compressor: "xz", level: 10 }, /xz level of 10/, /0 to 9/],
    [{ compressor: "zstd", level: 0 }, /zstd level of 0/, /1 to 22/],
    [{ compressor: "zstd", level: 23 }, /zstd level of 23/, /1 to 22/],
  ];
  for (const [options, message, hint] of refused) {
    await assert.rejects(imageBytes(treeOf({}), options), (error) => {
      assert.ok(error instanceof ImgbuildError && error.code === "usage", String(error));
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      return true;
    });
  }
});
