/** What each output adds to a build: a build that makes it besides emmc.img, against one that makes that alone. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import type { Case } from "./cases.js";
import type { Command } from "./measure.js";

/** Of the time of the build; compressed outputs and signed bundles may take longer. */
const LIMIT = 1.1;
const UNLIMITED = ["img.gz", "img.xz", "img.zst"];
const LIMITED = ["partitions", "bmap", "simg", "tezi", "tezi.tar", "uuu", "swupdate", "rauc"];

/** A board that every output can be made for. */
const BOARD = `
extends: qemu-arm64
boot: { initramfs: none }
partitions:
  rootfs: { size: 256MiB }
  rootfs-b: { filesystem: squashfs, size: 256MiB, role: rootfs }
  userdata: { size: 256MiB }
slots: { confirm: manual }
bootloader: { area: boot0, files: [{ file: imx-boot, sector: 0 }] }
flash: { mmc: 0, uuu: { rom: sdps, bufferAddress: 0x44200000 } }
tezi: { productIds: ["0058"] }
`;

/** The cases for a root file system `tree`, by `imgbuild`, which makes a command of its arguments. */
export function outputCases(tree: string, scratch: string, imgbuild: (...args: string[]) => Command): Case[] {
  const board = path.join(scratch, "board.yaml");
  const build = (output: string, formats: string, ...more: string[]): Command => {
    fs.writeFileSync(board, BOARD);
    // As long as one is.
    fs.writeFileSync(path.join(scratch, "imx-boot"), Buffer.alloc(2 ** 20, "imx-boot"));
    const places = ["--bootloader", scratch, "--output", output, "--jobs", "2"];
    return imgbuild("--profile", board, tree, ...places, "--format", formats, ...more);
  };
  const added = (name: string, formats: string, to: string, more: () => readonly string[] = () => []): Case => ({
    name: `adding ${name}`,
    peer: `${to} alone`,
    file: "manifest.json",
    ours: (output) => build(output, `${to},${formats}`, ...more()),
    theirs: (output) => build(output, to),
  });
  return [
    ...LIMITED.map((name) => ({ ...added(name, name, "img"), limit: LIMIT })),
    // The image comes with it.
    { ...added("boot0", "boot0", "partitions"), limit: LIMIT },
    added("rauc, signed", "rauc", "img", () => signer(scratch)),
    ...UNLIMITED.map((name) => added(name, name, "img")),
  ];
}

/** A certificate and its key, made once, as options. */
function signer(scratch: string): string[] {
  const [certificate, key] = ["cert.pem", "key.pem"].map((name) => path.join(scratch, name)) as [string, string];
  const self = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=bench", "-keyout", key];
  if (!fs.existsSync(key)) spawnSync("openssl", [...self, "-out", certificate]);
  return ["--set", `update.certificate=${certificate}`, "--set", `update.key=${key}`];
}
