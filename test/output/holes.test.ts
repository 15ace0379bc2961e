/** Outputs know from the record where the image has holes: none of them reads there, and each has zeros in their place. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { MemoryDevice, type ReadableDevice, RecordingDevice } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { assemble } from "../../src/image/assemble.js";
import { filesInTree } from "../../src/image/boot-files.js";
import { prepare } from "../../src/image/prepare.js";
import type { ArtifactFolder } from "../../src/output/output.js";
import { OUTPUT_NAMES, OUTPUTS, type OutputName } from "../../src/output/outputs.js";
import { loadPlan } from "../../src/profile/load.js";
import { readDirectory } from "../../src/tree/directory.js";
import { contentOf } from "../../src/tree/node.js";
import { makeRoot } from "../support/cli.js";
import { run, temporaryFolder } from "../support/tools.js";
import { Appended, build } from "./build.js";

/** Refuses to read what nobody wrote: a host's file system may have anything in its way there. */
class Guarded extends RecordingDevice {
  guarded = false;
  reads = 0;

  override async read(at: number, length: number): Promise<Uint8Array> {
    if (this.guarded) {
      const data = this.data.intersect(at, at + length).reduce((sum, { start, end }) => sum + end - start, 0);
      assert.equal(data, length, `${length} bytes at ${at}, of which ${data} were written`);
      this.reads++;
    }
    return super.read(at, length);
  }
}

const SETTINGS = [
  "storage.size=192MiB",
  "boot.initramfs=none",
  "partitions.bootfs.size=40MiB",
  "partitions.rootfs.size=8MiB",
  "partitions.userdata.size=64MiB",
  "partitions.other={filesystem: squashfs, role: rootfs, size: 8MiB}",
  "slots.confirm=manual",
];

test("no output reads a hole of the image", async (t) => {
  const folder = temporaryFolder(t);
  const root = await readDirectory(makeRoot(folder));
  const plan = loadPlan("colibri-imx6", { folder: "/", set: SETTINGS });
  const bootFiles = [filesInTree(root, "boot", "boot")];
  const loader = new Map(["SPL", "u-boot.img"].map((name) => [name, contentOf(Buffer.alloc(5000, name))]));
  const bootloaderFiles = [{ where: "loader", files: loader }];
  const prepared = await prepare(plan, {
    ...{ root, bootFiles, bootloaderFiles, sources: new Map(), time: 0, notice: () => {} },
  });
  const options = { time: 0, jobs: 1 };
  const file = new FileDevice(path.join(folder, "image"));
  const image = new Guarded(file);
  const assembled = await assemble(file, image, plan, prepared, options);
  image.guarded = true;

  const files = new Map<string, ReadableDevice>();
  const reading: OutputName[] = [];
  for (const name of OUTPUT_NAMES) {
    const artifacts: ArtifactFolder = {
      scratch: folder,
      create(file, size) {
        const device = new RecordingDevice(new MemoryDevice(size));
        files.set(file, device);
        return device;
      },
      append: () => new Appended(),
      keepImage() {},
      made: () => files,
    };
    const before = image.reads;
    const output = await OUTPUTS[name].load();
    await output.write({ plan, prepared, assembled, image, options }, artifacts);
    if (image.reads > before) reading.push(name);
  }
  // Those that do not read it have nothing of the image in them.
  assert.deepEqual(
    OUTPUT_NAMES.filter((name) => !reading.includes(name)),
    ["img", "boot0", "tezi.tar"],
  );
  file.close();
});

test("each partition on its own is what the image has in its place", (t) => {
  const folder = temporaryFolder(t);
  const { partitions, artifacts } = build(folder, makeRoot(folder), "--format", "img,partitions");
  const out = path.join(folder, "out/colibri-imx6");
  for (const { name, offset, used, filesystem } of partitions) {
    const file = `${name}.${filesystem === "fat" ? "vfat" : filesystem}`;
    assert.equal(fs.statSync(path.join(out, file)).size, used);
    run("cmp", ["-n", `${used}`, "-i", `0:${offset}`, path.join(out, file), path.join(out, "emmc.img")]);
  }
  for (const { file, sha256 } of artifacts) assert.equal(run("sha256sum", [path.join(out, file)]).slice(0, 64), sha256);
});
