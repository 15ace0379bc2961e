/**
 * A folder of artifacts that changes all at once, as far as files allow it. New artifacts grow in a folder of their own
 * inside the output folder; when all are complete and on the disk, each is renamed into its place, the manifest last. A
 * build that fails or is killed leaves the earlier artifacts as they were.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { FileDevice, hostWriteError } from "../bytes/file-device.js";

const PREFIX = ".partial-";

export class Workspace {
  /** The output folder. */
  readonly folder: string;
  readonly #partial: string;
  readonly #devices = new Map<string, FileDevice>();
  #begun = false;

  /** Nothing is made on the disk before something is to be put there. */
  constructor(folder: string) {
    this.folder = path.resolve(folder);
    this.#partial = path.join(this.folder, `${PREFIX}${process.pid}`);
  }

  /** Where temporary files may go; gone after `commit` and `discard`. */
  get scratch(): string {
    if (!this.#begun) this.#begin();
    return this.#partial;
  }

  /** Makes the folders that are missing, and removes what killed builds left in them. */
  #begin(): void {
    try {
      fs.mkdirSync(this.folder, { recursive: true });
      for (const name of fs.readdirSync(this.folder)) {
        if (isAbandoned(name)) this.#remove(path.join(this.folder, name));
      }
      fs.mkdirSync(this.#partial);
    } catch (error) {
      throw hostWriteError(this.folder, error);
    }
    this.#begun = true;
  }

  /** A new artifact of `size` bytes, all zeros. */
  create(name: string, size: number): FileDevice {
    const device = new FileDevice(path.join(this.scratch, name), size);
    this.#devices.set(name, device);
    return device;
  }

  /** Puts every artifact into its place, in the order in which they were made; then removes the files named by `stale`. */
  commit(stale: readonly string[] = []): void {
    for (const device of this.#devices.values()) {
      device.sync();
      device.close();
    }
    try {
      for (const name of this.#devices.keys())
        fs.renameSync(path.join(this.#partial, name), path.join(this.folder, name));
      for (const name of stale) if (!this.#devices.has(name)) fs.rmSync(path.join(this.folder, name), { force: true });
      this.#remove(this.#partial);
      syncFolder(this.folder);
    } catch (error) {
      throw hostWriteError(this.folder, error);
    }
    this.#devices.clear();
  }

  /** Removes everything that was not committed. Safe to call at any time, more than once. */
  discard(): void {
    for (const device of this.#devices.values()) device.close();
    this.#devices.clear();
    if (this.#begun) this.#remove(this.#partial);
    this.#begun = false;
  }

  #remove(folder: string): void {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a name is the folder of a build whose process is gone. */
function isAbandoned(name: string): boolean {
  if (!name.startsWith(PREFIX)) return false;
  const pid = Number(name.slice(PREFIX.length));
  if (!Number.isInteger(pid) || pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** So that the renames survive a power cut. Windows cannot open folders; there it is left out. */
function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const fd = fs.openSync(folder, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}
