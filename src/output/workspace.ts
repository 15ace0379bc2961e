/**
 * A folder of artifacts that changes all at once, as far as files allow it. New artifacts grow in a folder of their own
 * inside the output folder. When all are complete and on the disk, the old manifest is removed, each artifact is renamed
 * into its place, and the new manifest last. So a build that fails or is killed leaves the earlier artifacts as they were;
 * one that is killed during the renames leaves whole artifacts, some of them earlier ones, and no manifest.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { FileDevice } from "../bytes/file-device.js";
import { hostWriteError } from "../bytes/host-error.js";
import { ImgbuildError } from "../errors.js";
import { isAbandoned, markOwner } from "./abandoned.js";

const PREFIX = ".partial-";

export class Workspace {
  /** The output folder. */
  readonly folder: string;
  readonly #durable: boolean;
  readonly #devices = new Map<string, FileDevice>();
  #partial: string | undefined;

  /**
   * Nothing is made on the disk before something is to be put there. Unless they are `durable`, the artifacts are not waited
   * for to be on the disk, which for a large one takes as long as writing it: where they neither replace anything nor have a
   * manifest that says that they are complete, a power cut of the host takes away nothing that was there before.
   */
  constructor(folder: string, { durable = true }: { durable?: boolean } = {}) {
    this.folder = path.resolve(folder);
    this.#durable = durable;
  }

  /** Where temporary files may go; gone after `commit` and `discard`. */
  get scratch(): string {
    this.#partial ??= this.#begin();
    return this.#partial;
  }

  /** Makes the folders that are missing, and removes what killed builds left in them. */
  #begin(): string {
    try {
      makeFolder(this.folder);
      for (const name of fs.readdirSync(this.folder)) {
        const found = path.join(this.folder, name);
        if (name.startsWith(PREFIX) && isAbandoned(found)) fs.rmSync(found, { recursive: true, force: true });
      }
      const partial = fs.mkdtempSync(path.join(this.folder, PREFIX));
      markOwner(partial);
      return partial;
    } catch (error) {
      const file = fileInPlaceOf(this.folder);
      if (file !== undefined) {
        throw new ImgbuildError("io-failed", `cannot write ${this.folder}: ${file} is a file, not a folder`, {
          hint: "Name another folder, or move the file away.",
          cause: error,
        });
      }
      throw hostWriteError(this.folder, error);
    }
  }

  /**
   * A new artifact: of `size` bytes, all zeros, or growing until it gets a size. Each name can be made once. It may have
   * folders in it, with `/` between.
   */
  create(name: string, size?: number): FileDevice {
    if (this.#devices.has(name)) {
      throw new ImgbuildError("internal", `two artifacts are to be ${name}`, { hint: "Rename one of the partitions." });
    }
    const file = this.pathOf(name);
    try {
      makeFolder(path.dirname(file));
    } catch (error) {
      throw hostWriteError(path.dirname(file), error);
    }
    const device = new FileDevice(file, size, { durable: this.#durable });
    this.#devices.set(name, device);
    return device;
  }

  /** Where an artifact is until `commit`. */
  pathOf(name: string): string {
    return path.join(this.scratch, name);
  }

  /** Takes back an artifact that was made. */
  remove(name: string): void {
    this.#devices.get(name)?.close();
    this.#devices.delete(name);
    fs.rmSync(this.pathOf(name), { force: true });
  }

  /**
   * Puts every artifact into its place, in the order in which they were made; then removes the files named by `stale`, and the
   * folders that this leaves empty. `manifest` names the artifact that describes the others: there is none while they are being
   * replaced.
   */
  commit({ manifest, stale = [] }: { manifest?: string; stale?: readonly string[] } = {}): void {
    try {
      for (const device of this.#devices.values()) {
        if (this.#durable) device.sync();
        device.close();
      }
      if (manifest !== undefined) {
        fs.rmSync(path.join(this.folder, manifest), { force: true });
        syncFolder(this.folder);
      }
      const artifacts = [...this.#devices.keys()].filter((name) => name !== manifest);
      const folders = foldersOf(artifacts);
      for (const name of folders) makeFolder(path.join(this.folder, name));
      for (const name of artifacts) fs.renameSync(this.pathOf(name), path.join(this.folder, name));
      const removed = stale.filter((name) => !this.#devices.has(name));
      for (const name of removed) fs.rmSync(path.join(this.folder, name), { force: true });
      for (const name of foldersOf(removed).reverse()) removeIfEmpty(path.join(this.folder, name));
      if (this.#durable) for (const name of [...folders.reverse(), ""]) syncFolder(path.join(this.folder, name));
      if (manifest !== undefined) {
        fs.renameSync(this.pathOf(manifest), path.join(this.folder, manifest));
        syncFolder(this.folder);
      }
    } catch (error) {
      throw hostWriteError(this.folder, error);
    }
    this.discard();
  }

  /** Removes everything that was not committed. Safe to call at any time, more than once. */
  discard(): void {
    for (const device of this.#devices.values()) device.close();
    this.#devices.clear();
    if (this.#partial !== undefined) fs.rmSync(this.#partial, { recursive: true, force: true });
    this.#partial = undefined;
  }
}

/** Makes a folder and those above it that are missing. Node's own `recursive` never ends below /proc. */
function makeFolder(folder: string): void {
  if (fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = path.dirname(folder);
  if (parent !== folder) makeFolder(parent);
  fs.mkdirSync(folder);
}

/** What is no folder, of a folder's path and those above it. */
function fileInPlaceOf(folder: string): string | undefined {
  for (let at = folder; at !== path.dirname(at); at = path.dirname(at)) {
    // Below a file the host says that there is no folder, which is an error of its own.
    const stat = fs.existsSync(at) ? fs.statSync(at) : undefined;
    if (stat !== undefined) return stat.isDirectory() ? undefined : at;
  }
  return undefined;
}

/** The folders that files lie in, each before those in it. */
function foldersOf(names: readonly string[]): string[] {
  const folders = names.flatMap((name) => [...name.matchAll(/\//g)].map(({ index }) => name.slice(0, index)));
  return [...new Set(folders)].sort();
}

function removeIfEmpty(folder: string): void {
  try {
    fs.rmdirSync(folder);
  } catch (error) {
    // Something of the user's own is in it.
    if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes((error as NodeJS.ErrnoException).code!)) throw error;
  }
}

/** So that the renames survive a power cut. Windows cannot open folders; there it is left out. */
function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const fd = fs.openSync(folder, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}
