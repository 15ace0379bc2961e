/** What is compared with what. Both sides get the same tree and make the same kind of image. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { Command } from "./measure.js";
import { outputCases } from "./outputs.js";
import { makeCopies, makeSmallFiles } from "./trees.js";

export interface Case {
  readonly name: string;
  /** Makes `output`, a folder that does not exist yet. */
  readonly ours: (output: string) => Command;
  readonly theirs: (output: string) => Command;
  readonly peer: string;
  /** The file in the output folder whose size is compared. */
  readonly file: string;
  /** What the ratio of CPU time may be at most. */
  readonly limit?: number;
  /** Takes minutes, and gigabytes of disk: only with --large. */
  readonly large?: boolean;
}

const MAIN = path.resolve(import.meta.dirname, "../src/cli/main.js");
const IMAGE = "rootfs.squashfs";
const EXT4 = "rootfs.ext4";

const imgbuild = (...args: string[]): Command => ({ program: process.execPath, args: [MAIN, ...args, "--quiet"] });

/** Both make a SquashFS of `tree` in blocks of 128 KiB with two processors. `ours` and `theirs` are further options. */
function squashfs(name: string, tree: string, ours: readonly string[], theirs: readonly string[]): Case {
  return {
    name: `squashfs, ${name}`,
    peer: "mksquashfs",
    file: IMAGE,
    ours: (output) => imgbuild("squashfs", tree, path.join(output, IMAGE), "--jobs", "2", ...ours),
    theirs: (output) => ({
      program: "mksquashfs",
      args: [tree, path.join(output, IMAGE), ...MKSQUASHFS, ...theirs],
    }),
  };
}
const MKSQUASHFS = ["-processors", "2", "-noappend", "-no-progress", "-quiet", "-no-exports"];

/** Both make an ext4 of `size`, with the same features. */
function ext4(name: string, tree: string, size: string): Case {
  return {
    name,
    peer: "mke2fs -d",
    file: EXT4,
    ours: (output) => imgbuild("ext4", tree, path.join(output, EXT4), "--size", `${size}iB`),
    theirs: (output) => ({
      program: "mke2fs",
      args: ["-q", "-t", "ext4", "-O", "^64bit", "-b", "4096", "-d", tree, path.join(output, EXT4), size],
    }),
  };
}

/** The cases for a root file system `tree` with a kernel in its boot folder. `scratch` takes what they need for it. */
export function cases(tree: string, scratch: string): Case[] {
  const gzip = squashfs("gzip", tree, [], []);
  const copies = path.join(scratch, "copies");
  const small = path.join(scratch, "small-files");
  const inFolders = path.join(scratch, "small-files-in-folders");
  return [
    gzip,
    squashfs("gzip, best level", tree, ["--level", "9"], []),
    squashfs("lz4", tree, ["-c", "lz4", "--level", "1"], ["-comp", "lz4"]),
    squashfs("lz4 HC", tree, ["-c", "lz4"], ["-comp", "lz4", "-Xhc"]),
    squashfs("zstd", tree, ["-c", "zstd"], ["-comp", "zstd"]),
    squashfs("xz", tree, ["-c", "xz"], ["-comp", "xz"]),
    squashfs("lzo", tree, ["-c", "lzo"], ["-comp", "lzo"]),
    squashfs(
      "no compression",
      tree,
      ["--uncompressed", "inodes,data,fragments,xattrs"],
      ["-noI", "-noD", "-noF", "-noX"],
    ),
    {
      ...gzip,
      name: "squashfs, gzip, against gensquashfs",
      peer: "gensquashfs",
      theirs: (output) => ({
        program: "gensquashfs",
        args: ["--pack-dir", tree, "--compressor", "gzip", "--num-jobs", "2", "--quiet", path.join(output, IMAGE)],
      }),
    },
    ext4("ext4", tree, "512M"),
    // A thousand a folder would compare nothing but how names are looked up: mke2fs reads all of a folder for each.
    made(ext4("ext4, 50,000 small files", inFolders, "1G"), () => makeSmallFiles(inFolders, 50_000, 200)),
    {
      name: "whole image",
      peer: "genimage",
      file: IMAGE,
      ours: (output) => {
        const sizes = ["storage.size=1GiB", "partitions.rootfs.size=512MiB", "partitions.userdata.size=256MiB"];
        const set = [...sizes, "boot.initramfs=none"].flatMap((setting) => ["--set", setting]);
        return imgbuild("--profile", "qemu-arm64", tree, "--output", output, "--jobs", "2", ...set);
      },
      theirs: (output) => genimage(tree, output, scratch),
    },
    ...outputCases(tree, scratch, imgbuild),
    large(squashfs("3 GB", copies, ["--no-dedupe"], ["-no-duplicates"]), () => makeCopies(tree, copies, 9)),
    large(
      squashfs("3 GB, lz4", copies, ["-c", "lz4", "--level", "1", "--no-dedupe"], ["-comp", "lz4", "-no-duplicates"]),
      () => makeCopies(tree, copies, 9),
    ),
    large(squashfs("a million small files", small, [], []), () => makeSmallFiles(small, 1_000_000)),
  ];
}

/** A case whose tree is made when it is first run. */
function made(item: Case, makeTree: () => void): Case {
  return {
    ...item,
    ours: (output) => {
      makeTree();
      return item.ours(output);
    },
  };
}

const large = (item: Case, makeTree: () => void): Case => ({ ...made(item, makeTree), large: true });

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
