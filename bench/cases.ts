/** What is compared with what. Both sides get the same tree and make the same kind of image. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Command } from "./measure.js";

export interface Case {
  readonly name: string;
  readonly peer: string;
  /** Makes `output`, a folder that does not exist yet. */
  readonly ours: (output: string) => Command;
  readonly theirs: (output: string) => Command;
  /** The file in the output folder whose size is compared. */
  readonly file: string;
}

const MAIN = path.resolve(import.meta.dirname, "../src/cli/main.js");

/** The cases for a root file system `tree` with a kernel in its boot folder. `scratch` takes configuration files. */
export function cases(tree: string, scratch: string): Case[] {
  const imgbuild = (...args: string[]): Command => ({ program: process.execPath, args: [MAIN, ...args, "--quiet"] });
  const squashfs = (name: string, options: readonly string[]): Case => ({
    name,
    peer: "mksquashfs",
    file: "rootfs.squashfs",
    ours: (output) => imgbuild("squashfs", tree, path.join(output, "rootfs.squashfs"), "--jobs", "2", ...options),
    theirs: (output) => ({
      program: "mksquashfs",
      args: [
        tree,
        path.join(output, "rootfs.squashfs"),
        "-processors",
        "2",
        "-noappend",
        "-no-progress",
        "-quiet",
        "-no-exports",
      ],
    }),
  });
  return [
    squashfs("squashfs, gzip", []),
    squashfs("squashfs, gzip, best level", ["--level", "9"]),
    {
      name: "whole image",
      peer: "genimage",
      file: "rootfs.squashfs",
      ours: (output) => {
        const sizes = ["storage.size=1GiB", "partitions.rootfs.size=512MiB", "partitions.userdata.size=256MiB"];
        const set = [...sizes, "boot.initramfs=none"].flatMap((setting) => ["--set", setting]);
        return imgbuild("--profile", "qemu-arm64", tree, "--output", output, "--jobs", "2", ...set);
      },
      theirs: (output) => genimage(tree, output, scratch),
    },
  ];
}

/** genimage with partitions of the same sizes and kinds. Its squashfs blocks are 4 KiB unless it is told otherwise. */
function genimage(tree: string, output: string, scratch: string): Command {
  const config = path.join(scratch, "genimage.cfg");
  const kernel = fs.readdirSync(path.join(tree, "boot")).find((name) => name.startsWith("vmlinuz-"))!;
  fs.writeFileSync(
    config,
    `image bootfs.vfat { size = 64M
      vfat { label = "BOOT" files = { "${kernel}" } } }
    image rootfs.squashfs { size = 512M
      squashfs { compression = "gzip" block-size = 131072 extraargs = "-processors 2 -no-progress -quiet" } }
    image userdata.ext4 { size = 256M empty = true
      ext4 { label = "userdata" use-mke2fs = true } }
    image emmc.img {
      hdimage { partition-table-type = "gpt" align = 1M }
      partition bootfs { partition-type-uuid = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" image = "bootfs.vfat" }
      partition rootfs { partition-type-uuid = "0FC63DAF-8483-4772-8E79-3D69D8477DE4" image = "rootfs.squashfs" }
      partition userdata { partition-type-uuid = "0FC63DAF-8483-4772-8E79-3D69D8477DE4" image = "userdata.ext4" } }\n`,
  );
  const folders = {
    config,
    rootpath: tree,
    inputpath: path.join(tree, "boot"),
    outputpath: output,
    tmppath: path.join(scratch, "genimage.tmp"),
  };
  fs.rmSync(folders.tmppath, { recursive: true, force: true });
  return { program: "genimage", args: Object.entries(folders).flatMap(([key, value]) => [`--${key}`, value]) };
}
