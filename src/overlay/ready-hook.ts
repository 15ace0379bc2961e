/** Who tells the overlays that a boot has completed: a unit of systemd, or a script that runs last. */
import { type ByteString, fromText } from "../bytes/bytestring.js";
import { follow, realPath } from "../tree/real-path.js";
import { lookup, type Tree } from "../tree/tree.js";

export interface ReadyHook {
  /** The file in this folder. */
  readonly source: string;
  readonly path: string;
  readonly mode: number;
  /** Symlinks by which it is started, and what they point at. */
  readonly links: readonly string[];
  readonly target: string;
}

/**
 * What fits the root's init system, or undefined: of an init system that is not known nothing tells when it is done. A hook that
 * is there and never runs would be worse than none, so that only those are known of which it is certain.
 */
export function readyHook(tree: Tree, init: ByteString): ReadyHook | undefined {
  if (realPath(tree, init).endsWith("/systemd")) return systemdUnit(tree);
  if (isFolder(tree, "/etc/rc5.d") && follow(tree, fromText("/etc/init.d/rc"))?.type === "file") return runlevels(tree);
  return startScript(tree);
}

function isFolder(tree: Tree, path: string): boolean {
  return follow(tree, fromText(path))?.type === "directory";
}

function systemdUnit(tree: Tree): ReadyHook {
  // Without merged /usr, Debian's systemd and Yocto's read /lib.
  const units = isFolder(tree, "/usr/lib/systemd/system") ? "/usr/lib/systemd/system" : "/lib/systemd/system";
  return {
    source: "imgbuild-ready.service",
    path: `${units}/imgbuild-ready.service`,
    mode: 0o644,
    links: [`${units}/multi-user.target.wants/imgbuild-ready.service`],
    target: "../imgbuild-ready.service",
  };
}

/** sysvinit: Yocto's, and Debian's where startpar does not keep lists of its own. */
function runlevels(tree: Tree): ReadyHook | undefined {
  if (lookup(tree, fromText("/etc/init.d/.depend.start")) !== undefined) return undefined;
  return {
    source: "imgbuild-ready.sh",
    path: "/etc/init.d/imgbuild-ready",
    mode: 0o755,
    links: [2, 3, 4, 5]
      .filter((level) => isFolder(tree, `/etc/rc${level}.d`))
      .map((level) => `/etc/rc${level}.d/S99imgbuild-ready`),
    target: "../init.d/imgbuild-ready",
  };
}

/** Buildroot's rcS runs every /etc/init.d/S??* in order. It is told by there being some. */
function startScript(tree: Tree): ReadyHook | undefined {
  const folder = follow(tree, fromText("/etc/init.d"));
  if (folder?.type !== "directory" || !folder.entries.has(fromText("rcS"))) return undefined;
  if (![...folder.entries.keys()].some((name) => /^S\d\d./.test(name))) return undefined;
  return { source: "imgbuild-ready.sh", path: "/etc/init.d/S99imgbuild-ready", mode: 0o755, links: [], target: "" };
}
