/** Programs of the host that tests are checked against. Where one is missing a test says so; in CI it fails. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";

/** Milliseconds that a program may run, which on a damaged image it may do for ever. */
const MAX_RUN = 600_000;

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** True, and the test marked as skipped for `reason`, what it needs. In CI it throws: for what none of the functions below looks for. */
export function unavailable(t: TestContext, reason: string): boolean {
  if (process.env.CI) throw new Error(`${reason}, and in CI nothing may be skipped`);
  t.skip(reason);
  return true;
}

/** True, and the test marked as skipped, when one of `names` is not on the PATH. Use: `if (lacks(t, "unsquashfs")) return;` */
export function lacks(t: TestContext, ...names: string[]): boolean {
  const missing = names.filter((name) => !PATH.split(":").some((folder) => fs.existsSync(path.join(folder, name))));
  return missing.length > 0 && unavailable(t, `needs ${missing.join(", ")}`);
}

/**
 * True, and the test marked as skipped, when the program is missing because this distribution has no package of it. Where it
 * has one, this is `lacks`.
 */
export function lacksPackaged(t: TestContext, name: string): boolean {
  const policy = spawnSync("apt-cache", ["policy", name], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
  if (/Candidate: (?!\(none\))/.test(policy.stdout ?? "")) return lacks(t, name);
  t.skip(`this distribution has no package ${name}`);
  return true;
}

/**
 * True, and the test marked as skipped, when the emulator is an older one than `since`, the major version that brought a machine: Debian
 * 12 has 7.2. Where there is no emulator, this is `lacks`.
 */
export function lacksMachine(t: TestContext, program: string, machine: string, since: number): boolean {
  if (lacks(t, program)) return true;
  const version = /version (\d+)/.exec(run(program, ["-version"]))?.[1];
  if (Number(version) >= since) return false;
  t.skip(`${program} ${version} has no machine ${machine}: version ${since} has`);
  return true;
}

/**
 * True, and the test marked as skipped, when the kernel has no device mapper with an error target: it is the host's, and nothing that
 * can be installed brings one, so that it is skipped in CI as well, by this reason.
 */
export function lacksErrorTarget(t: TestContext): boolean {
  const { stdout } = spawnSync("dmsetup", ["targets"], { encoding: "utf8", env: { ...process.env, PATH } });
  if (/^error\b/m.test(stdout ?? "")) return false;
  t.skip("this kernel has no device mapper with an error target");
  return true;
}

/** True, and the test marked as skipped, when this user may not mount. */
export function lacksRoot(t: TestContext): boolean {
  return process.getuid?.() !== 0 && unavailable(t, "needs root, to mount over a loop device");
}

/** Runs a program and returns what it printed. Throws with everything it printed when it fails. */
export function run(
  command: string,
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string; input?: Uint8Array } = {},
): string {
  const result = spawnSync(command, args, {
    encoding: "latin1",
    maxBuffer: 2 ** 30,
    timeout: MAX_RUN,
    ...options,
    env: { ...process.env, LC_ALL: "C", PATH, ...options.env },
  });
  if (result.error) throw result.error;
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(" ")} ended with ${result.status ?? result.signal}:\n${result.stdout}${result.stderr}`,
    );
  }
  return result.stdout;
}

/** An empty folder that is removed after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-test-"));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Something of the host, an indexer for one, may look into a new mount for a moment. */
async function unmount(folder: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      execFileSync("umount", [folder], { stdio: "pipe" });
      return;
    } catch (error) {
      if (attempt === 20 || !/busy/.test((error as Error).message)) throw error;
      await setTimeout(100);
    }
  }
}

/** Mounts `image` read-only over a loop device for the time of `use`. */
export async function mounted<T>(
  image: string,
  options: { type: string; offset?: number; size?: number; writable?: boolean },
  use: (folder: string) => T | Promise<T>,
): Promise<T> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-mount-"));
  const loop = [options.writable ? "loop,rw" : "loop,ro"];
  if (options.offset !== undefined) loop.push(`offset=${options.offset}`);
  if (options.size !== undefined) loop.push(`sizelimit=${options.size}`);
  try {
    run("mount", ["-t", options.type, "-o", loop.join(","), image, folder]);
    try {
      return await use(folder);
    } finally {
      await unmount(folder);
    }
  } finally {
    fs.rmdirSync(folder);
  }
}
