/** Imports only go down the list of layers in docs/architecture.md. This table is that list. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";

const FORMATS = ["squashfs", "ext4", "fat", "partition", "uboot", "initramfs", "verity"];

/** Who may import whom. Every layer may import itself and src/errors.ts. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  codecs: [],
  bytes: [],
  tree: ["bytes", "codecs"],
  squashfs: ["bytes", "tree", "codecs"],
  ext4: ["bytes", "tree"],
  fat: ["bytes", "tree"],
  partition: ["bytes"],
  verity: ["bytes"],
  uboot: ["bytes"],
  initramfs: ["bytes", "tree", "codecs"],
  overlay: ["bytes", "tree"],
  image: ["bytes", "tree", "codecs", "overlay", ...FORMATS],
  output: ["bytes", "tree", "codecs", "image", "partition", "uboot"],
  profile: ["bytes", "image", "output", "partition", "squashfs"],
  qemu: ["bytes", "tree", "image", "output", "fat", "partition"],
  flash: ["bytes", "tree", "codecs", "image", "output", "partition"],
  cli: ["bytes", "tree", "codecs", "overlay", "image", "output", "profile", "qemu", "flash", ...FORMATS],
};

const SOURCE = path.resolve(import.meta.dirname, "../../src");

function* sourceFiles(folder: string): Generator<string> {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* sourceFiles(name);
    else if (name.endsWith(".ts")) yield name;
  }
}

const layerOf = (file: string) => path.relative(SOURCE, file).split(path.sep)[0]!;

test("every folder of src is a layer", () => {
  const folders = fs.readdirSync(SOURCE, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of folders) assert.ok(name in LAYERS, `src/${name} is not in the table of layers`);
});

test("imports go down the layers", () => {
  let imports = 0;
  for (const file of sourceFiles(SOURCE)) {
    const layer = layerOf(file);
    if (!(layer in LAYERS)) continue;
    for (const [, target] of fs.readFileSync(file, "utf8").matchAll(/(?:from|import) ?\(?"(\.[^"]+)"/g)) {
      imports++;
      const to = path.resolve(path.dirname(file), target!);
      const name = path.relative(SOURCE, to);
      const allowed = name === "errors.js" || layerOf(to) === layer || LAYERS[layer]!.includes(layerOf(to));
      assert.ok(allowed, `${path.relative(SOURCE, file)} may not import ${name}`);
    }
  }
  assert.ok(imports > 0);
});

test("a format is imported through its index only", () => {
  for (const file of sourceFiles(SOURCE)) {
    for (const [, target] of fs.readFileSync(file, "utf8").matchAll(/from "(\.[^"]+)"/g)) {
      const to = path.resolve(path.dirname(file), target!);
      if (layerOf(to) === layerOf(file) || !FORMATS.includes(layerOf(to))) continue;
      assert.equal(
        path.basename(to),
        "index.js",
        `${path.relative(SOURCE, file)} reaches into ${path.relative(SOURCE, to)}`,
      );
    }
  }
});

test("results go to standard output by one way, which knows of readers that go away", () => {
  const direct = [...sourceFiles(SOURCE)].filter((file) => fs.readFileSync(file, "utf8").includes("stdout.write("));
  assert.deepEqual(
    direct.map((file) => path.relative(SOURCE, file)),
    ["cli/standard-output.ts"],
  );
});
