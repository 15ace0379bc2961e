/**
 * What the init system has to know of the overlays. Who tells them that a boot has completed: a unit of systemd, or a script
 * that runs last. And that systemd leaves their mounts alone.
 */
import { type ByteString, fromText } from "../bytes/bytestring.js";
import { follow, realPath } from "../tree/real-path.js";
import { lookup, type Tree } from "../tree/tree.js";
import { ROM } from "./places.js";

export interface ReadyHook {
  /** The file in this folder. */
  readonly source: string;
  readonly path: string;
  readonly mode: number;
  /** Symlinks by which it is started, and what they point at. */
  readonly links: readonly string[];
  readonly target: string;
  /** A list of start scripts which it has to be entered into: `startparList`. */
  readonly list?: string;
}

/**
 * What fits the root's init system, or undefined: of an init system that is not known nothing tells when it is done. A hook that
 * is there and never runs would be worse than none, so that only those are known of which it is certain.
 */
export function readyHook(tree: Tree, init: ByteString): ReadyHook | undefined {
  if (isSystemd(tree, init)) return systemdUnit(tree);
  if (isFolder(tree, "/etc/rc5.d") && follow(tree, fromText("/etc/init.d/rc"))?.type === "file") return runlevels(tree);
  return startScript(tree);
}

function isFolder(tree: Tree, path: string): boolean {
  return follow(tree, fromText(path))?.type === "directory";
}

/**
 * Units by which systemd does not unmount `paths` when it shuts down, while there are programs that use them: journald has its
 * files in /var open to the end. systemd-shutdown does it when all have ended, and makes UserData read-only first, which is
 * what leaves it in order below an overlay of the whole root (src/shutdown/umount.c). Where preinit could not mount one, there
 * is nothing to be mounted for systemd either. A drop-in would not do: systemd does not look for any when another unit
 * has named the mount before it is found in /proc/self/mountinfo. Empty without systemd.
 */
export function mountUnits(
  tree: Tree,
  init: ByteString,
  paths: readonly ByteString[],
): readonly { readonly path: string; readonly text: string }[] {
  if (!isSystemd(tree, init)) return [];
  const units = paths
    .map((path) => ({ path: `${unitFolder(tree)}/${mountUnit(path)}`, text: mountUnitText(path) }))
    .filter(({ path }) => lookup(tree, realPath(tree, fromText(path), false)) === undefined);
  if (!paths.includes(ROM)) return units;
  // fstab's line for the read-only root would make the overlay read-only.
  const path = `${unitFolder(tree)}/systemd-remount-fs.service.d/imgbuild.conf`;
  return [...units, { path, text: `[Unit]\nConditionPathIsMountPoint=!${ROM}\n` }];
}

function mountUnitText(path: ByteString): string {
  return `# Mounted by preinit, and until all programs have ended.
[Unit]
DefaultDependencies=no
ConditionPathIsMountPoint=${path.replaceAll("%", "%%")}

[Mount]
What=none
Where=${path.replaceAll("%", "%%")}
`;
}

/** The name of a mount's unit: systemd.unit(5), "String escaping for inclusion in unit names". */
function mountUnit(path: ByteString): string {
  const escaped = path
    .slice(1)
    .replace(/[^A-Za-z0-9:_./]|^\./g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, "0")}`)
    .replaceAll("/", "-");
  return `${escaped}.mount`;
}

function isSystemd(tree: Tree, init: ByteString): boolean {
  return realPath(tree, init).endsWith("/systemd");
}

function unitFolder(tree: Tree): string {
  // Without merged /usr, Debian's systemd and Yocto's read /lib.
  return isFolder(tree, "/usr/lib/systemd/system") ? "/usr/lib/systemd/system" : "/lib/systemd/system";
}

function systemdUnit(tree: Tree): ReadyHook {
  const units = unitFolder(tree);
  return {
    source: "imgbuild-ready.service",
    path: `${units}/imgbuild-ready.service`,
    mode: 0o644,
    links: [`${units}/multi-user.target.wants/imgbuild-ready.service`],
    target: "../imgbuild-ready.service",
  };
}

const STARTPAR_LIST = "/etc/init.d/.depend.start";

/** sysvinit: Yocto's, and Debian's and Devuan's, where startpar has a list of the scripts beside the links. */
function runlevels(tree: Tree): ReadyHook {
  return {
    source: "imgbuild-ready.sh",
    path: "/etc/init.d/imgbuild-ready",
    mode: 0o755,
    links: [2, 3, 4, 5]
      .filter((level) => isFolder(tree, `/etc/rc${level}.d`))
      .map((level) => `/etc/rc${level}.d/S99imgbuild-ready`),
    target: "../init.d/imgbuild-ready",
    ...(lookup(tree, fromText(STARTPAR_LIST))?.type === "file" ? { list: STARTPAR_LIST } : {}),
  };
}

/**
 * The list of start scripts that insserv has made, with imgbuild-ready after all others. It has the form of a makefile:
 * "TARGETS = " and the names, then a line for each name that has to wait for others (insserv(8), "Depend files"). An empty one,
 * without which rc goes by the links, is returned as it is.
 */
export function startparList(text: string): string {
  const targets = /^TARGETS = *(.*)$/m
    .exec(text)?.[1]
    ?.split(/\s+/)
    .filter((name) => name !== "");
  if (targets === undefined || targets.includes("imgbuild-ready")) return text;
  const line = `imgbuild-ready: ${targets.join(" ")}\n`;
  return `${text.replace(/^TARGETS =.*$/m, (all) => `${all.trimEnd()} imgbuild-ready`).replace(/\n?$/, "\n")}${line}`;
}

/** Buildroot's rcS runs every /etc/init.d/S??* in order. It is told by there being some. */
function startScript(tree: Tree): ReadyHook | undefined {
  const folder = follow(tree, fromText("/etc/init.d"));
  if (folder?.type !== "directory" || !folder.entries.has(fromText("rcS"))) return undefined;
  if (![...folder.entries.keys()].some((name) => /^S\d\d./.test(name))) return undefined;
  return { source: "imgbuild-ready.sh", path: "/etc/init.d/S99imgbuild-ready", mode: 0o755, links: [], target: "" };
}
