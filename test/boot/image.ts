/** Images for the tests of this folder: built by the command line, started without a bootloader, looked at from outside. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { fromText } from "../../src/bytes/bytestring.js";
import { slice } from "../../src/bytes/device.js";
import { FileReader } from "../../src/bytes/file-device.js";
import { type Ext4Reader, openExt4 } from "../../src/ext4/index.js";
import type { Plan } from "../../src/image/plan.js";
import type { Manifest, ManifestPartition } from "../../src/output/manifest.js";
import { planOfResolved } from "../../src/profile/load.js";
import { type QemuCommand, qemuCommand } from "../../src/qemu/command.js";
import { emulatedMachine, kernelStart } from "../../src/qemu/start.js";
import { readContent } from "../../src/tree/node.js";
import { imgbuild } from "../support/cli.js";

export const PROJECT = path.resolve(import.meta.dirname, "../../..");
/** What `make parts` leaves. */
export const DEMO = path.join(PROJECT, "out/demo");

export interface TestImage {
  readonly folder: string;
  /** Path of the raw image. */
  readonly image: string;
  readonly manifest: Manifest;
  readonly plan: Plan;
  readonly userdata: ManifestPartition;
}

/** Runs imgbuild with further arguments; the artifacts are in `folder`. */
export function buildImage(folder: string, profile: string, args: readonly string[]): TestImage {
  const result = imgbuild(["--profile", profile, "--output", folder, "--json", ...args]);
  assert.equal(result.status, 0, result.stderr);
  const manifest = JSON.parse(result.stdout) as Manifest;
  return {
    ...{ folder, manifest, image: path.join(folder, "emmc.img") },
    plan: planOfResolved(manifest.profile.name, manifest.profile.resolved),
    userdata: manifest.partitions.find(({ role }) => role === "userdata")!,
  };
}

/** A partition by its name in the profile. */
export function partition({ manifest }: TestImage, wanted: string): ManifestPartition {
  const found = manifest.partitions.find(({ name }) => name === wanted);
  assert.ok(found, `the image has no partition ${wanted}`);
  return found;
}

/** The command that boots the image, or another disk with the same content, and writes to it. */
export async function bootCommand(
  built: TestImage,
  disk = built.image,
  more: readonly string[] = [],
): Promise<QemuCommand> {
  const device = new FileReader(built.image);
  try {
    const start = await kernelStart(device, built.plan, built.manifest, built.folder);
    const { program, args } = qemuCommand(emulatedMachine(built.plan), { path: disk, format: "raw" }, start);
    return { program, args: args.map((arg, i) => (args[i - 1] === "-append" ? [arg, ...more].join(" ") : arg)) };
  } finally {
    device.close();
  }
}

export interface Userdata {
  readonly reader: Ext4Reader;
  /** The content of a file. */
  text(name: string): Promise<string>;
}

/** Opens UserData on a disk, the image's own for one, with the project's reader. */
export async function readUserdata<T>(
  built: TestImage,
  use: (userdata: Userdata) => Promise<T>,
  disk = built.image,
): Promise<T> {
  const device = new FileReader(disk);
  try {
    const reader = await openExt4(slice(device, built.userdata.offset, built.userdata.size));
    return await use({
      reader,
      async text(name) {
        const found = await reader.lookup(fromText(name));
        assert.ok(found?.type === "file", `${name} is ${found?.type ?? "not there"}`);
        return Buffer.from(await readContent(await reader.content(found))).toString("latin1");
      },
    });
  } finally {
    device.close();
  }
}
