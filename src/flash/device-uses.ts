/** Who uses a block device, or a file in the place of one: what Linux tells of it in sysfs and proc. */
import * as fs from "node:fs";
import * as path from "node:path";
import { decodeDeviceNumber } from "../tree/device-number.js";

/** Where the kernel tells it. */
export interface HostPaths {
  readonly sys: string;
  readonly proc: string;
}
export const HOST: HostPaths = { sys: "/sys", proc: "/proc" };

export interface Uses {
  /** Each as one clause: "sda2 is mounted at /home". */
  readonly all: readonly string[];
  /** Those of them that the running system consists of. */
  readonly system: readonly string[];
}

const SYSTEM_FOLDERS = /^\/(?:usr|boot(?:\/.*)?|etc|var|nix(?:\/store)?)?$/;

/** "8:1" for a block device; undefined for anything else. */
export function deviceNumberOf(file: string): string | undefined {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isBlockDevice()) return undefined;
  const { major, minor } = decodeDeviceNumber(stat.rdev);
  return `${major}:${minor}`;
}

/** What a file of sysfs or proc says; undefined where there is none. */
export function attribute(folder: string, name: string): string | undefined {
  try {
    return fs.readFileSync(path.join(folder, name), "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Of the device in a folder of sysfs: what uses it, one of its partitions, or what is made of one. */
export function usesOfDevice(folder: string, host: HostPaths): Uses {
  const layers = new Layers(host);
  layers.add(folder);
  if (fs.existsSync(path.join(folder, "partition"))) layers.addLoopsOnDevice(layerAt(path.dirname(folder)));
  return usesOf(layers, swapsOf(layers, host), host);
}

/** Of a file: loop devices that are made of it, what uses those, and swap. A file that is not there has no uses. */
export function usesOfFile(file: string, host: HostPaths = HOST): Uses {
  const own = fs.statSync(file, { throwIfNoEntry: false });
  const isFile = (other: string) => {
    const found = fs.statSync(other, { throwIfNoEntry: false });
    return found !== undefined && found.dev === own?.dev && found.ino === own.ino;
  };
  const layers = new Layers(host);
  layers.addLoopsOn("it", isFile);
  const swap = swapFiles(host).some(isFile) ? ["it is used for swap"] : [];
  return usesOf(layers, [...swap, ...swapsOf(layers, host)], host);
}

function usesOf(layers: Layers, swaps: readonly string[], host: HostPaths): Uses {
  const mounts = mountsOf(layers, host);
  const system = mounts.filter(({ place }) => SYSTEM_FOLDERS.test(place));
  const texts = (uses: readonly Mount[]) => [...new Set(uses.map(({ text }) => text))];
  return { all: [...layers.clauses, ...texts(mounts), ...swaps], system: [...texts(system), ...swaps] };
}

interface Layer {
  /** The kernel's: "sda1". */
  readonly name: string;
  readonly number: string;
}

const layerAt = (folder: string): Layer => ({ name: path.basename(folder), number: attribute(folder, "dev") ?? "" });

const isLayer = (file: string, { name, number }: Layer): boolean =>
  file === `/dev/${name}` || (file.startsWith("/") && deviceNumberOf(file) === number);

/** Devices that lie on each other, however far up: partitions, what the device mapper or RAID make of them, loop devices. */
class Layers {
  readonly clauses: string[] = [];
  readonly #host: HostPaths;
  /** By their folders in sysfs. */
  readonly #layers = new Map<string, Layer>();
  readonly #loops: readonly { readonly folder: string; readonly backing: string }[];

  constructor(host: HostPaths) {
    this.#host = host;
    const all = path.join(host.sys, "class/block");
    const names = fs.existsSync(all) ? fs.readdirSync(all) : [];
    this.#loops = names.flatMap((name) => {
      const backing = attribute(path.join(all, name), "loop/backing_file");
      return backing === undefined ? [] : [{ folder: fs.realpathSync(path.join(all, name)), backing }];
    });
  }

  /** The device in a folder of sysfs, and what lies on it. */
  add(folder: string): void {
    if (this.#layers.has(folder)) return;
    const layer = layerAt(folder);
    this.#layers.set(folder, layer);
    const entries = fs.readdirSync(folder);
    for (const entry of entries) {
      if (fs.existsSync(path.join(folder, entry, "partition"))) this.add(path.join(folder, entry));
    }
    const holders = entries.includes("holders") ? fs.readdirSync(path.join(folder, "holders")) : [];
    if (holders.length > 0) this.clauses.push(`${layer.name} is a part of ${holders.join(", ")}`);
    for (const holder of holders.map((name) => path.join(this.#host.sys, "class/block", name))) {
      if (fs.existsSync(holder)) this.add(fs.realpathSync(holder));
    }
    this.addLoopsOnDevice(layer);
  }

  /** The kernel lets others write a device that a loop device is made of, and names no holder. */
  addLoopsOnDevice(layer: Layer): void {
    this.addLoopsOn(layer.name, (backing) => isLayer(backing, layer));
  }

  /** The loop devices whose backing file `isBase` says is the base, and what lies on them. */
  addLoopsOn(base: string, isBase: (backing: string) => boolean): void {
    for (const { folder, backing } of this.#loops) {
      if (!isBase(backing)) continue;
      this.clauses.push(`${path.basename(folder)} is made of ${base}`);
      this.add(folder);
    }
  }

  find(suits: (layer: Layer) => boolean): Layer | undefined {
    return [...this.#layers.values()].find(suits);
  }
}

interface Mount {
  readonly text: string;
  readonly place: string;
}

/** Blanks and their like are written as \040. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** /proc/self/mountinfo: proc_pid_mountinfo(5). */
function mountsOf(layers: Layers, { proc }: HostPaths): Mount[] {
  const lines = (attribute(proc, "self/mountinfo") ?? "").split("\n");
  return lines.flatMap((line) => {
    const [fields = "", behind = ""] = line.split(" - ");
    const [, , number, , mountPoint = ""] = fields.split(" ");
    // Btrfs has a number of its own, and says in its source what it lies on.
    const source = unescaped(behind.split(" ")[1] ?? "");
    const layer = layers.find((one) => one.number === number || isLayer(source, one));
    const place = unescaped(mountPoint);
    return layer === undefined ? [] : [{ text: `${layer.name} is mounted at ${place}`, place }];
  });
}

/** /proc/swaps: proc_swaps(5). */
function swapFiles({ proc }: HostPaths): string[] {
  const lines = (attribute(proc, "swaps") ?? "").split("\n").slice(1);
  return lines.map((line) => unescaped(line.split(/\s/)[0]!));
}

function swapsOf(layers: Layers, host: HostPaths): string[] {
  return swapFiles(host).flatMap((file) => {
    const layer = layers.find((one) => isLayer(file, one));
    return layer === undefined ? [] : [`${layer.name} is used for swap`];
  });
}
