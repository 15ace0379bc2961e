/** Files that change while an image is made of them: an error, or an image that holds some content that was there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { readDirectory } from "../../src/tree/directory.js";
import { type Content, contentOf, newFile, type RegularFile } from "../../src/tree/node.js";
import { lookup, type Tree } from "../../src/tree/tree.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { noise, type Options, text, treeOf, writeImage } from "./image.js";

const BLOCK = 4096;

/** Content that is `versions[n]` from the n-th time it is opened on; the last version stays. */
function changing(...versions: readonly Uint8Array[]): Content {
  let opened = 0;
  return {
    size: versions[0]!.length,
    async open() {
      const bytes = versions[Math.min(opened++, versions.length - 1)]!;
      return {
        async read(at, into) {
          into.set(bytes.subarray(at, at + into.length));
        },
        async close() {},
      };
    },
  };
}

/** What unsquashfs finds in the image, by path. It fails for an image that it cannot read. */
function extracted(folder: string, image: string, paths: readonly string[]): Buffer[] {
  const target = `${folder}/extracted`;
  run("unsquashfs", ["-no-progress", "-strict-errors", "-d", target, image]);
  try {
    return paths.map((path) => fs.readFileSync(`${target}/${path}`));
  } finally {
    fs.rmSync(target, { recursive: true });
  }
}

for (const size of [100, BLOCK, 5 * BLOCK + 10]) {
  test(`a content of ${size} bytes that changes between any two readings`, async (t) => {
    if (lacks(t, "unsquashfs")) return;
    const folder = temporaryFolder(t);
    const one = noise(size, 1);
    const other = noise(size, 2);
    const orders = [
      [one, other],
      [other, one],
      [one, one, other],
      [other, one, one],
    ];
    let images = 0;
    for (const fragments of [true, false, "always"] as const) {
      for (const first of orders) {
        for (const second of orders) {
          const contents = { a: changing(...first), b: changing(...second), c: contentOf(one), d: changing(...first) };
          try {
            const { image } = await writeImage(folder, treeOf(contents), { fragments, blockSize: BLOCK, jobs: 1 });
            images++;
            const found = extracted(folder, image, ["a", "b", "c", "d"]);
            for (const bytes of found) assert.ok(bytes.equals(one) || bytes.equals(other), "one of the two");
            assert.ok(found[2]!.equals(one), "what did not change");
          } catch (error) {
            assert.ok(error instanceof ImgbuildError && error.code === "source-changed", `${error}`);
          }
        }
      }
    }
    assert.ok(images > 0);
  });
}

test("a stored file that changes is not what a later one is taken for", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const folder = temporaryFolder(t);
  for (const size of [100, 3 * BLOCK]) {
    const [before, after] = [noise(size, 1), noise(size, 2)];
    // "a" is stored as `before`; when "b" is compared with it, both are `after`.
    const tree = treeOf({ a: changing(before, after), b: contentOf(after), c: contentOf(before) });
    const { image } = await writeImage(folder, tree, { blockSize: BLOCK });
    assert.deepEqual(
      extracted(folder, image, ["a", "b", "c"]),
      [before, after, before].map((bytes) => Buffer.from(bytes)),
    );
  }
});

/** A folder with files that are short, a block, and long, and each twice. */
async function sourceFolder(folder: string): Promise<{ source: string; tree: Tree }> {
  const source = `${folder}/source`;
  fs.mkdirSync(source);
  for (const [i, size] of [50, BLOCK, 6 * BLOCK + 5].entries()) {
    for (const twin of ["a", "b"]) {
      fs.writeFileSync(`${source}/${twin}${i}`, text(size, i));
      // The clock of file systems ticks every few milliseconds: the change is to come at another tick.
      fs.utimesSync(`${source}/${twin}${i}`, 1e9, 1e9);
    }
  }
  return { source, tree: await readDirectory(source, { xattrs: false }) };
}

const CHANGES: Readonly<Record<string, (file: string) => void>> = {
  grows: (file) => fs.appendFileSync(file, "!"),
  shrinks: (file) => fs.truncateSync(file, 10),
  "is emptied": (file) => fs.truncateSync(file, 0),
  "is written to": (file) => {
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, "changed", 0);
    fs.closeSync(fd);
  },
  "is replaced by another": (file) => {
    fs.writeFileSync(`${file}.new`, text(fs.statSync(file).size, 77));
    fs.renameSync(`${file}.new`, file);
  },
  "is replaced by a folder": (file) => {
    fs.rmSync(file);
    fs.mkdirSync(file);
  },
  "is replaced by a link": (file) => {
    fs.rmSync(file);
    fs.symlinkSync("/dev/zero", file);
  },
  "is replaced by a pipe": (file) => {
    fs.rmSync(file);
    run("mkfifo", [file]);
  },
  "is removed": (file) => fs.rmSync(file),
};

test("a file of the host that changes between the scan and the reading is an error", async (t) => {
  for (const [how, change] of Object.entries(CHANGES)) {
    for (const name of ["a0", "a1", "b2"]) {
      const folder = temporaryFolder(t);
      const { source, tree } = await sourceFolder(folder);
      change(`${source}/${name}`);
      const error = { code: "source-changed", message: new RegExp(name) };
      await assert.rejects(writeImage(folder, tree, { blockSize: BLOCK }), error, `${name} ${how}`);
    }
  }
});

test("a file of the host that changes after some of it was read is an error", async (t) => {
  for (const how of ["grows", "shrinks", "is emptied", "is written to"]) {
    for (const name of ["a1", "a2", "b2"]) {
      const folder = temporaryFolder(t);
      const { source, tree } = await sourceFolder(folder);
      const node = lookup(tree, fromText(name)) as RegularFile;
      const { content } = node;
      let done = false;
      // It changes right before its last read.
      node.content = {
        size: content.size,
        async open() {
          const reader = await content.open();
          return {
            async read(at, into) {
              if (at + into.length === content.size && !done) {
                done = true;
                CHANGES[how]!(`${source}/${name}`);
              }
              return reader.read(at, into);
            },
            close: () => reader.close(),
          };
        },
      };
      const error = { code: "source-changed", message: new RegExp(name) };
      await assert.rejects(writeImage(folder, tree, { blockSize: BLOCK }), error, `${name} ${how}`);
      assert.ok(done);
    }
  }
});

/** Overwrites files with one letter throughout, cuts them and lets them grow, as fast as it can. */
const DISTURBER = `
const fs = require("node:fs");
const [folder, count, size] = process.argv.slice(1);
console.log("ready");
for (let i = 0; ; i++) {
  const file = folder + "/" + (i % count);
  const bytes = Buffer.alloc(Number(size) + [0, 0, 0, 1, -1][i % 5], "abcdefgh"[i % 8]);
  if (i % 3 === 0) {
    fs.writeFileSync(folder + ".new", bytes);
    fs.renameSync(folder + ".new", file);
  } else {
    fs.writeFileSync(file, bytes);
  }
}`;

test("while another process writes to the files: an error, or an image of whole files", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  for (const [size, options] of [
    [300, {}],
    [5 * BLOCK, { fragments: "always" }],
  ] as [number, Options][]) {
    const folder = temporaryFolder(t);
    const source = `${folder}/source`;
    fs.mkdirSync(source);
    const names = Array.from({ length: 6 }, (_, i) => `${i}`);
    for (const name of names) fs.writeFileSync(`${source}/${name}`, Buffer.alloc(size, "z"));
    const disturber = spawn(process.execPath, ["-e", DISTURBER, source, `${names.length}`, `${size}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await new Promise((resolve) => disturber.stdout.once("data", resolve));
      let errors = 0;
      for (let attempt = 0; attempt < 25; attempt++) {
        try {
          const tree = await readDirectory(source, { xattrs: false });
          const { image } = await writeImage(folder, tree, { blockSize: BLOCK, jobs: 1, ...options });
          run("unsquashfs", ["-no-progress", "-strict-errors", "-d", `${folder}/extracted`, image]);
          fs.rmSync(`${folder}/extracted`, { recursive: true });
        } catch (error) {
          assert.ok(error instanceof ImgbuildError && error.code === "source-changed", `${error}`);
          errors++;
        }
      }
      assert.ok(errors > 0, "it was noticed");
    } finally {
      disturber.kill();
    }
  }
});

test("a hard link that changes is one file still", async (t) => {
  if (lacks(t, "unsquashfs")) return;
  const node = newFile(changing(text(BLOCK * 2), noise(BLOCK * 2)));
  const tree = treeOf({ a: node, b: node });
  const folder = temporaryFolder(t);
  const { image } = await writeImage(folder, tree, { blockSize: BLOCK });
  const [a, b] = extracted(folder, image, ["a", "b"]);
  assert.deepEqual(a, b);
});
