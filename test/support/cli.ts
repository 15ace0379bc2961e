/** Running the command line as users do: as a process of its own, by what it prints and how it ends. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

export const MAIN = path.resolve(import.meta.dirname, "../../src/cli/main.js");

export interface CliResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs imgbuild in `cwd`. */
export function imgbuild(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: Uint8Array } = {},
): CliResult {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    ...options,
    env: { ...process.env, SOURCE_DATE_EPOCH: undefined, ...options.env },
  });
  return { status, stdout, stderr };
}

/** What the init script needs of a root file system, and a few things to look for. */
const FILES: Readonly<Record<string, string>> = {
  "bin/busybox": "not really",
  "etc/hostname": "board\n",
  "home/root/readme.txt": "shipped\n",
  "usr/share/big.bin": "",
};
const APPLETS = ["sh", "chmod", "chown", "mkdir", "mount", "mv", "rm", "stat", "sync"];

/** A root file system that builds but would not boot, with a kernel and a device tree for colibri-imx6 in boot/. */
export function makeRoot(folder: string): string {
  const root = path.join(folder, "rootfs");
  for (const [name, text] of Object.entries(FILES)) write(path.join(root, name), text, 0o755);
  for (const applet of APPLETS) fs.symlinkSync("busybox", path.join(root, "bin", applet));
  fs.mkdirSync(path.join(root, "sbin"));
  fs.symlinkSync("../bin/busybox", path.join(root, "sbin/init"));
  for (const name of ["dev", "proc", "sys", "run", "tmp"]) fs.mkdirSync(path.join(root, name));
  // Noise, so that compression does not hide how large the root is.
  const noise = Buffer.alloc(3 * 2 ** 20);
  for (let i = 0, state = 1; i < noise.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    noise[i] = state >>> 16;
  }
  fs.writeFileSync(path.join(root, "usr/share/big.bin"), noise);
  const kernel = Buffer.alloc(4096);
  kernel.writeUInt32LE(0x016f2818, 36);
  write(path.join(root, "boot/zImage"), kernel, 0o644);
  write(path.join(root, "boot/imx6dl-colibri-eval-v3.dtb"), "a device tree", 0o644);
  return root;
}

function write(file: string, content: string | Uint8Array, mode: number): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content, { mode });
}

/** A colibri-imx6 small enough for a test, without an initramfs. */
export const SMALL = [
  "--profile",
  "colibri-imx6",
  ...["storage.size=200MiB", "partitions.rootfs.size=16MiB", "boot.initramfs=none"].flatMap((setting) => [
    "--set",
    setting,
  ]),
];
