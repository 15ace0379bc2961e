/** Puts the initramfs together: the early script, a static busybox, and the modules of a plan. */
import * as fs from "node:fs";
import { display, fromText } from "../bytes/bytestring.js";
import { gzip } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { type Content, readContent } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { lookup, type Tree } from "../tree/tree.js";
import { type CpioMember, writeCpio } from "./cpio.js";
import { type ElfTarget, targetName, withElf } from "./elf.js";
import { moduleOfFileName } from "./modinfo.js";
import { readModule } from "./modules.js";
import type { InitramfsPlan } from "./plan.js";
import { programMembers } from "./programs.js";

export interface InitramfsOptions {
  /** A static busybox for the board's processor. Default: the one in the root file system. */
  readonly busybox?: Content;
  /** Modification time of every member, in seconds since 1970. Default: 0. */
  readonly mtime?: number;
}

/** Where distributions keep a busybox, the ones that are static by their name first. */
const BUSYBOX_PATHS = [
  "/bin/busybox.static",
  "/usr/bin/busybox.static",
  "/bin/busybox",
  "/usr/bin/busybox",
  "/sbin/busybox",
  "/usr/lib/initramfs-tools/bin/busybox",
].map(fromText);

/** It is loaded by the bootloader at each boot: as small as can be. */
const GZIP_LEVEL = 9;

/** What early.sh calls. It cannot do without any of them. */
const APPLETS = ["dd", "findfs", "grep", "hexdump", "insmod", "mount", "sh", "sleep", "switch_root", "tr", "umount"];

const FOLDERS = ["bin", "dev", "modules", "newroot", "proc", "sys"];

const script = new URL("../../../src/initramfs/early.sh", import.meta.url);

/**
 * The initramfs as the kernel takes it: a gzip-compressed cpio archive, the same bytes each time. Throws a
 * `kernel-unsupported` error when there is no busybox that is static, for the right processor, and has the applets that
 * the script needs.
 */
export async function buildInitramfs(
  tree: Tree,
  plan: InitramfsPlan & { needed: true },
  options: InitramfsOptions = {},
): Promise<Uint8Array> {
  const busybox = options.busybox
    ? await checkBusybox(options.busybox, "the busybox that was named", plan.target)
    : await findBusybox(tree, plan.target);
  const members: CpioMember[] = [
    ...FOLDERS.map((path) => ({ path, type: "directory", mode: 0o755 }) as const),
    { path: "dev/console", type: "character", mode: 0o600, device: [5, 1] },
    { path: "dev/null", type: "character", mode: 0o666, device: [1, 3] },
    { path: "init", type: "file", mode: 0o755, bytes: fs.readFileSync(script) },
    { path: "bin/busybox", type: "file", mode: 0o755, bytes: busybox },
    ...APPLETS.map((name) => ({ path: `bin/${name}`, type: "symlink", target: "busybox" }) as const),
  ];
  const folders = new Set(FOLDERS);
  for (const program of plan.programs) members.push(...(await programMembers(tree, program, folders)));
  for (const { name, path } of plan.modules) {
    const node = lookup(tree, path);
    const compression = moduleOfFileName(path)?.compression;
    if (node?.type !== "file") throw new ImgbuildError("internal", `the planned module ${display(path)} is gone`);
    const bytes = await readModule({ name, path, node, compression });
    members.push({ path: `modules/${name}.ko`, type: "file", mode: 0o644, bytes });
  }
  const order = plan.modules.map(({ name, optional }) => `${name}${optional ? " optional" : ""}\n`).join("");
  members.push({ path: "modules/order", type: "file", mode: 0o644, bytes: Buffer.from(order) });
  return gzip(writeCpio(members, options.mtime ?? 0), GZIP_LEVEL);
}

async function findBusybox(tree: Tree, target: ElfTarget): Promise<Uint8Array> {
  let refusal: unknown;
  for (const path of BUSYBOX_PATHS) {
    const node = follow(tree, path);
    if (node?.type !== "file") continue;
    try {
      return await checkBusybox(node.content, display(path), target);
    } catch (error) {
      refusal ??= error;
    }
  }
  if (refusal) throw refusal;
  throw new ImgbuildError("kernel-unsupported", `the initramfs needs a busybox, and the root file system has none`, {
    hint: BUSYBOX_HINT,
  });
}

const BUSYBOX_HINT =
  "Install busybox-static in the root file system, name a static busybox, or build the kernel with its storage drivers, " +
  "squashfs, overlay and ext4 built in, so that no initramfs is needed.";

/** The program's bytes, once it is known that it can run in the initramfs. `name` is what messages call it. */
async function checkBusybox(content: Content, name: string, target: ElfTarget): Promise<Uint8Array> {
  const refuse = (reason: string) =>
    new ImgbuildError("kernel-unsupported", `${name} ${reason}`, { hint: BUSYBOX_HINT });
  await withElf(content, (elf) => {
    if (!elf) throw refuse("is no program for Linux on a little-endian processor");
    if (elf.machine !== target.machine || elf.bits !== target.bits) {
      // An AArch64 kernel may run 32-bit ARM programs, but need not (CONFIG_COMPAT): it has to be the same processor.
      throw refuse(`is for ${targetName(elf)}, the kernel's modules are for ${targetName(target)}`);
    }
    if (elf.dynamic) throw refuse("is linked dynamically; the initramfs has no libraries");
  });
  const bytes = await readContent(content);
  const missing = APPLETS.filter((applet) => !hasApplet(bytes, applet));
  if (missing.length > 0) throw refuse(`lacks the applets ${missing.join(", ")}`);
  return bytes;
}

/** Whether busybox has an applet: their names stand in it one after the other, each ended by a NUL (applet_tables.c). */
function hasApplet(busybox: Uint8Array, name: string): boolean {
  return Buffer.from(busybox.buffer, busybox.byteOffset, busybox.length).includes(`\0${name}\0`, 0, "latin1");
}
