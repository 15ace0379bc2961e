/** What Linux knows about a block device, from sysfs and proc: what it is, and who uses it. Other hosts tell none of it. */
import * as fs from "node:fs";
import * as path from "node:path";
import { decodeDeviceNumber } from "../tree/device-number.js";

/** Where the kernel tells it. */
export interface HostPaths {
  readonly sys: string;
  readonly proc: string;
}
export const HOST: HostPaths = { sys: "/sys", proc: "/proc" };

export interface BlockDevice {
  /** The kernel's: "sda", "mmcblk0p1". */
  readonly name: string;
  /** For people: "Generic SD Card Reader (USB)". */
  readonly description: string;
  /** The disk that it is a partition of; undefined for a whole disk. */
  readonly partitionOf: string | undefined;
  /** An eMMC's boot partition: a disk of its own, that only a bootloader goes into. */
  readonly isBootPartition: boolean;
  readonly readOnly: boolean;
  readonly removable: boolean;
  /** In bytes: what the device reads and writes at least. */
  readonly logicalBlockSize: number;
  /** A file of sysfs that says whether an eMMC's boot partition is locked, where there is one. */
  readonly lock: string | undefined;
  /** Who uses it, or a part of it, each as one clause: "sda2 is mounted at /home". */
  readonly uses: readonly string[];
  /** Those of them that the running system consists of. */
  readonly systemUses: readonly string[];
}

const SYSTEM_FOLDERS = /^\/(?:usr|boot(?:\/.*)?|etc|var|nix(?:\/store)?)?$/;

/** "8:1" for a block device; undefined for anything else. */
export function deviceNumberOf(file: string): string | undefined {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isBlockDevice()) return undefined;
  const { major, minor } = decodeDeviceNumber(stat.rdev);
  return `${major}:${minor}`;
}

/** The device with that number; undefined on a host that does not tell. */
export function blockDevice(number: string, host: HostPaths = HOST): BlockDevice | undefined {
  const link = path.join(host.sys, "dev/block", number);
  if (!fs.existsSync(link)) return undefined;
  const folder = fs.realpathSync(link);
  const isPartition = fs.existsSync(path.join(folder, "partition"));
  const disk = isPartition ? path.dirname(folder) : folder;
  const lock = path.join(folder, "force_ro");
  const users = usersOf(folder, host);
  const uses = [
    ...users.filter(({ heldBy }) => heldBy !== undefined).map(({ name, heldBy }) => `${name} is a part of ${heldBy}`),
    ...mountsOf(users, host),
    ...swapsOf(users, host),
  ];
  return {
    name: path.basename(folder),
    description: descriptionOf(disk),
    partitionOf: isPartition ? path.basename(disk) : undefined,
    isBootPartition: /^mmcblk\d+boot\d$/.test(path.basename(folder)),
    readOnly: attribute(folder, "ro") === "1",
    removable: attribute(disk, "removable") === "1",
    logicalBlockSize: Number(attribute(disk, "queue/logical_block_size") ?? 512),
    lock: fs.existsSync(lock) ? lock : undefined,
    uses: uses.map((use) => (typeof use === "string" ? use : use.text)),
    systemUses: uses.flatMap((use) => (typeof use !== "string" && use.isSystem ? [use.text] : [])),
  };
}

function attribute(folder: string, name: string): string | undefined {
  try {
    return fs.readFileSync(path.join(folder, name), "utf8").trim();
  } catch {
    return undefined;
  }
}

function descriptionOf(disk: string): string {
  const names = ["device/vendor", "device/model", "device/name"].map((name) => attribute(disk, name));
  const backing = attribute(disk, "loop/backing_file");
  const bus = /\/usb\d/.test(disk) ? "USB" : attribute(disk, "device/type");
  const words = [...names.filter((name) => name !== undefined && name !== ""), ...(backing ? [`file ${backing}`] : [])];
  const kind = bus !== undefined && /^[A-Z]+$/.test(bus) ? ` (${bus})` : "";
  return `${words.length > 0 ? words.join(" ") : "a device without a name"}${kind}`;
}

/** A device that is or lies on the one that is asked about. */
interface User {
  readonly name: string;
  readonly number: string;
  /** The device mapper's or the RAID's device that is made of it. */
  readonly heldBy: string | undefined;
}

/** The device in a folder of sysfs, its partitions, and what is made of any of them. */
function usersOf(folder: string, host: HostPaths, seen = new Set<string>()): User[] {
  if (seen.has(folder)) return [];
  seen.add(folder);
  const entries = fs.readdirSync(folder);
  const partitions = entries.filter((entry) => fs.existsSync(path.join(folder, entry, "partition")));
  const holders = entries.includes("holders") ? fs.readdirSync(path.join(folder, "holders")) : [];
  const holderFolders = holders
    .map((holder) => path.join(host.sys, "class/block", holder))
    .filter((holder) => fs.existsSync(holder))
    .map((holder) => fs.realpathSync(holder));
  return [
    {
      name: path.basename(folder),
      number: attribute(folder, "dev") ?? "",
      heldBy: holders.length > 0 ? holders.join(", ") : undefined,
    },
    ...[...partitions.map((partition) => path.join(folder, partition)), ...holderFolders].flatMap((below) =>
      usersOf(below, host, seen),
    ),
  ];
}

interface MountUse {
  readonly text: string;
  readonly isSystem: boolean;
}

/** /proc/self/mountinfo: proc_pid_mountinfo(5). Blanks and their like are written as \040. */
function mountsOf(users: readonly User[], { proc }: HostPaths): MountUse[] {
  const uses = new Map<string, MountUse>();
  for (const line of (attribute(proc, "self/mountinfo") ?? "").split("\n")) {
    const [fields = "", behind = ""] = line.split(" - ");
    const [, , number, , mountPoint = ""] = fields.split(" ");
    // Btrfs has a number of its own, and says in its source what it lies on.
    const source = behind.split(" ")[1] ?? "";
    const user = users.find((user) => user.number === number || user.number === numberOrNone(source));
    if (user === undefined) continue;
    const place = mountPoint.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const text = `${user.name} is mounted at ${place}`;
    uses.set(text, { text, isSystem: SYSTEM_FOLDERS.test(place) });
  }
  return [...uses.values()];
}

function numberOrNone(file: string): string | undefined {
  return file.startsWith("/") ? deviceNumberOf(file) : undefined;
}

/** /proc/swaps: proc_swaps(5). */
function swapsOf(users: readonly User[], { proc }: HostPaths): MountUse[] {
  const files = (attribute(proc, "swaps") ?? "").split("\n").slice(1);
  return files.flatMap((line) => {
    const file = line.split(/\s/)[0]!;
    const user = users.find(({ name, number }) => number === numberOrNone(file) || file === `/dev/${name}`);
    return user === undefined ? [] : [{ text: `${user.name} is used for swap`, isSystem: true }];
  });
}
