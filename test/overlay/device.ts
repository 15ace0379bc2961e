/**
 * A device to boot without an emulator: preinit as process 1 of its own namespaces, on a real SquashFS root and a real ext4
 * UserData, by busybox or dash. Only /sys is made up: two loop devices play the partitions of a disk.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import type { TestContext } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import {
  type DeviceSlots,
  type Growth,
  installOverlay,
  type LayerSource,
  type NewRootPolicy,
} from "../../src/overlay/index.js";
import { contentOf, type Directory, type Node, newDirectory, newFile, readContent } from "../../src/tree/node.js";
import { addNode, lookup, makeDirectories, type Tree } from "../../src/tree/tree.js";
import { run, temporaryFolder } from "../support/tools.js";
import { link, sampleTree } from "./sample.js";

export const TOOLS = ["busybox", "dash", "unshare", "mksquashfs", "mke2fs", "debugfs", "losetup", "mountpoint"];

export type Shell = "busybox" | "dash";

/** Writes a tree below a folder of the host; busybox itself comes from the host. */
async function stage(directory: Directory, folder: string, names = new Map<Node, string>()): Promise<void> {
  for (const [name, node] of directory.entries) {
    const file = path.join(folder, name);
    if (node.type === "directory") {
      fs.mkdirSync(file);
      await stage(node, file, names);
    } else if (names.has(node)) {
      fs.linkSync(names.get(node)!, file);
      continue;
    } else if (node.type === "symlink") fs.symlinkSync(node.target, file);
    else if (name === "busybox") fs.copyFileSync(run("which", ["busybox"]).trim(), file);
    else if (node.type === "file") fs.writeFileSync(file, await readContent(node.content));
    if (node.type === "symlink") continue;
    names.set(node, file);
    fs.chownSync(file, node.uid, node.gid);
    fs.chmodSync(file, node.mode);
  }
}

const E2FSCK = '#!/bin/sh\necho "e2fsck $1"\ncase $1 in -p) exit "$STATUS_P" ;; -fy) exit "$STATUS_FY" ;; esac\n';

/**
 * What the disk holds after a power cut. Either is possible: "synced" is what was synced and no more; "journal" is besides all
 * that was made, renamed or removed, but not what was written into files, as it is after ext4's journal was committed by chance.
 */
export type Left = "synced" | "journal";

export interface Mutation {
  /** Its path in the root. */
  readonly script: string;
  readonly from: string;
  readonly to: string;
}

export interface BootOptions {
  readonly env?: Record<string, string>;
  /** More to do to the made-up /sys; the root is the current folder. */
  readonly sys?: string;
  /** The kernel's arguments. */
  readonly arguments?: string;
  /** The power fails before so many programs have been started; the root needs `cuttable`. */
  readonly cutAt?: number;
  /** What the power failing leaves; default: "synced". */
  readonly left?: Left;
}

export interface DeviceOptions {
  readonly e2fsck?: boolean;
  readonly paths?: readonly string[];
  readonly volatile?: readonly string[];
  readonly newRoot?: NewRootPolicy;
  readonly keep?: readonly string[];
  readonly slots?: DeviceSlots;
  readonly shell?: Shell;
  /** Whether the root has an init system that tells when the boot has completed. */
  readonly hook?: boolean;
  /** UserData's size, as mke2fs takes it. */
  readonly size?: string;
  /** More mke2fs options. */
  readonly mke2fs?: readonly string[];
  /** Whether boots can be cut off. Needs dash: busybox calls its applets without looking for programs. */
  readonly cuttable?: boolean;
  /** Programs of the host that the root gets, with their libraries; in /usr/libexec, for something else to call. */
  readonly programs?: readonly string[];
  readonly growth?: Growth;
  readonly flagPartition?: number;
  readonly layers?: readonly { readonly path: string; readonly from: LayerSource }[];
  /** Default: 3. */
  readonly userdataPartition?: number;
  /** Changes the root file system before the overlay is installed. */
  readonly root?: (tree: Tree) => void;
  /** Replaces a text in a script of the overlay, to see whether a test notices. */
  readonly mutation?: Mutation;
}

/** Programs that change something or may be cut between others that do. */
const CUTTABLE = [
  ...[
    "chmod",
    "chown",
    "cp",
    "dd",
    "grep",
    "mkdir",
    "mount",
    "mv",
    "rm",
    "rmdir",
    "sha256sum",
    "stat",
    "sync",
    "touch",
    "umount",
  ],
];

/** In front of a program: counts down /dev/cut, and at zero has the power fail. rm and dd are cut in the middle of their work, too. */
export const shim = (program: string, real = `/bin/busybox ${program}`) => `#!/bin/busybox sh
if [ -e /dev/cut ]; then
  read -r left </dev/cut
  echo $((left - 1)) >/dev/cut
  if [ "$left" = 1 ]; then
    [ ${program} != rm ] || [ "$1" != -rf ] || /bin/busybox rm -f "$2"/*
    for word; do
      # Half of the block is written.
      case $word in seek=*) /bin/busybox dd if=/bin/busybox of=/dev/disk bs=2048 seek=$((2 * \${word#seek=})) count=1 2>/dev/null ;; esac
    done
    echo cut >/dev/power
    while :; do /bin/busybox sleep 9; done
  fi
fi
exec ${real} "$@"
`;

/**
 * Has one ext4 forget what it has not written yet: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH, or, with its journal
 * committed before, EXT4_GOING_FLAGS_LOGFLUSH (fs/ext4/ext4.h).
 */
const shutDown = (left: Left) =>
  `perl -e 'open(my $f, "<", $ARGV[0]) or exit; my $how = pack("L", ${left === "journal" ? 1 : 2}); ioctl($f, 0x8004587d, $how)'`;
export const CUT = shutDown("synced");

/** So often what was not synced is looked for: any other process of the host may call sync, and have it on the disk. */
export const TRIES = 8;

/** Whether it holds once in so many times. */
export const oneOf = (tries: number, holds: () => boolean): boolean => Array.from({ length: tries }).some(holds);

export interface Device {
  /** Boots once, with `commands` as what the real init does; returns what was printed. */
  boot(commands: string, options?: BootOptions): string;
  readonly userdata: string;
  /** The root's image, and what the kernel is told to start. */
  readonly squashfs: string;
  readonly init: string;
  /** What debugfs prints for a request about UserData. */
  debugfs(request: string): string;
  /** Replaces the root by one that is changed further, and may have another policy. */
  flash(change: (tree: Tree) => void, newRoot?: NewRootPolicy): Promise<void>;
}

/** A regular file in a tree. */
export function put(tree: Tree, name: string, text: string, mode = 0o644): void {
  addNode(tree, fromText(name), newFile(contentOf(Buffer.from(text)), { mode }));
}

/** A program of the host with the libraries that it needs. */
function addProgram(staged: string, name: string, folder: string): void {
  const program = fs.realpathSync(run("which", [name]).trim());
  const libraries = run("ldd", [program]).match(/\/\S+(?= )/g) ?? [];
  for (const file of libraries) {
    const to = path.join(staged, file);
    fs.mkdirSync(path.dirname(to), { recursive: true });
    fs.copyFileSync(file, to);
  }
  fs.mkdirSync(path.join(staged, folder), { recursive: true });
  fs.copyFileSync(program, path.join(staged, folder, name));
}

function addDash(staged: string): void {
  addProgram(staged, "dash", "bin");
  fs.rmSync(path.join(staged, "bin/sh"));
  fs.symlinkSync("dash", path.join(staged, "bin/sh"));
}

function rootTree(options: DeviceOptions): Tree {
  const tree = sampleTree();
  for (const applet of run("busybox", ["--list"]).trim().split("\n")) {
    if (applet !== "busybox") addNode(tree, fromText(`bin/${applet}`), link("busybox"));
  }
  put(tree, "sbin/init", '#!/bin/sh\neval "$1"\nexit 0\n', 0o755);
  makeDirectories(tree, fromText("home/root"), { mode: 0o710, uid: 1000, gid: 100 });
  makeDirectories(tree, fromText("home")).mode = 0o755;
  put(tree, "home/root/kept", "kept\n");
  put(tree, "home/root/changed", "shipped\n");
  put(tree, "home/root/deleted", "shipped\n");
  addNode(tree, fromText("etc"), newDirectory());
  if (options.e2fsck) put(tree, "sbin/e2fsck", E2FSCK, 0o755);
  if (options.cuttable) for (const program of CUTTABLE) put(tree, `usr/sbin/${program}`, shim(program), 0o755);
  if (options.hook) {
    put(tree, "etc/init.d/rcS", "for i in /etc/init.d/S??*; do $i start; done\n", 0o755);
    put(tree, "etc/init.d/S01first", "#!/bin/sh\n", 0o755);
  }
  return tree;
}

async function mutate(tree: Tree, { script, from, to }: Mutation): Promise<void> {
  const node = lookup(tree, fromText(script));
  assert.ok(node?.type === "file", `the root has no ${script}`);
  const text = Buffer.from(await readContent(node.content)).toString();
  assert.equal(text.split(from).length, 2, `${script} has no longer what is to be replaced, or more of it: ${from}`);
  put(tree, script, text.replace(from, to), node.mode);
}

export async function device(t: TestContext, options: DeviceOptions = {}): Promise<Device> {
  const folder = temporaryFolder(t);
  const squashfs = path.join(folder, "root.squashfs");
  let init = "";
  const flash: Device["flash"] = async (change, newRoot = options.newRoot ?? "keep") => {
    const tree = rootTree(options);
    options.root?.(tree);
    change(tree);
    ({ init } = await installOverlay(tree, {
      paths: (options.paths ?? ["/home/root"]).map(fromText),
      volatile: (options.volatile ?? []).map(fromText),
      newRoot,
      keep: (options.keep ?? []).map(fromText),
      userdataPartition: options.userdataPartition ?? 3,
      growth: options.growth,
      flagPartition: options.flagPartition,
      layers: (options.layers ?? []).map(({ path, from }) => ({ path: fromText(path), from })),
      slots: options.slots,
      time: { seconds: 0, nanoseconds: 0 },
    }));
    if (options.mutation) await mutate(tree, options.mutation);
    const staged = fs.mkdtempSync(path.join(folder, "stage-"));
    fs.chmodSync(staged, 0o755);
    await stage(tree.root, staged);
    if (options.shell === "dash") addDash(staged);
    for (const name of options.programs ?? []) addProgram(staged, name, "usr/libexec");
    fs.rmSync(squashfs, { force: true });
    // Not compressed: each boot mounts it anew and loads every program from it, and the kernel would unpack busybox as often.
    const plain = ["-noI", "-noD", "-noF", "-noX"];
    run("mksquashfs", [staged, squashfs, "-quiet", "-no-progress", "-no-exports", ...plain]);
    fs.rmSync(staged, { recursive: true });
  };
  await flash(() => {});
  const userdata = path.join(folder, "userdata.ext4");
  run("mke2fs", ["-q", "-t", "ext4", ...(options.mke2fs ?? []), userdata, options.size ?? "8M"]);
  fs.mkdirSync(path.join(folder, "root"));

  // What the kernel would show of the disk: /sys/dev/block leads from the root's numbers to its partition.
  const sys = `
    mkdir -p sys/dev/block sys/devices/disk/p2 sys/devices/disk/p3 sys/module/overlay
    echo 2 >sys/devices/disk/p2/partition
    echo 3 >sys/devices/disk/p3/partition
    printf 'MAJOR=7\\nMINOR=0\\nDEVNAME=data\\nDEVTYPE=partition\\n' >sys/devices/disk/p3/uevent
    ln -s ../../devices/disk/p2 sys/dev/block/$(mountpoint -d .)
    cp -r /sys/module/overlay/parameters sys/module/overlay/`;
  return {
    userdata,
    squashfs,
    init,
    flash,
    debugfs: (request) => run("debugfs", ["-R", request, userdata]),
    boot(commands, { env = {}, sys: more = "", arguments: kernelArguments, cutAt, left = "synced" } = {}) {
      const proc = `mount -t proc proc proc; echo "$ARGUMENTS" >dev/cmdline; mount --bind dev/cmdline proc/cmdline; true >dev/sysrq; mount --bind dev/sysrq proc/sysrq-trigger;`;
      const start = `unshare --mount --pid --fork sh -c '${kernelArguments === undefined ? "" : proc} exec chroot . ${init} "$COMMANDS"'`;
      // What of the namespaces is there to be found is unshare's child.
      const cut = `
        echo ${cutAt} >dev/cut
        mkfifo dev/power
        ${start} &
        read -r power <dev/power
        # Gone already where the boot has come to its end.
        inside=$(cat /proc/$!/task/$!/children 2>/dev/null) || :
        if [ "$power" = cut ]; then
          # UserData, and where there is another one, or BootFS, that too.
          while read -r _ point type _; do
            case $type$point in ext4/userdata | ext4/run/imgbuild/*) ${shutDown(left)} /proc/\${inside% }/root$point ;; esac
          done </proc/\${inside% }/mounts
          kill -9 $inside
        fi
        wait
        echo "$power"`;
      const outside = `
        set -e
        mount -o loop,ro ${squashfs} root
        cd root
        mount -t tmpfs tmpfs sys
        mount -t tmpfs tmpfs dev
        mknod dev/null c 1 3
        loop=$(losetup --find --show ${userdata})
        trap 'losetup --detach $loop' EXIT
        cp -a "$loop" dev/data
        ${sys}
        ${more}
        ${cutAt === undefined ? start : cut}`;
      return run("unshare", ["--mount", "--propagation=private", "sh", "-c", outside], {
        cwd: folder,
        env: { ...env, COMMANDS: commands, ARGUMENTS: kernelArguments ?? "" },
      });
    },
  };
}
