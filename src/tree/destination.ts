/**
 * A folder of the host that a tree is written into, from which nothing leads out. Everything is made in a folder that was made
 * or checked before. What is no folder is made under a name of its own, beside its place, and moved there when it is complete:
 * reading may fail half-way, and then what was in that place is still there.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, display, fromText, toBytes } from "../bytes/bytestring.js";
import { hostWriteError } from "../bytes/host-error.js";
import { ImgbuildError } from "../errors.js";
import { type Tree, walk } from "./tree.js";

/** The names of Windows' devices, streams and separators would lead elsewhere. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Windows takes none of them
const WINDOWS_RESERVED = /[\x00-\x1f"*:<>?\\|]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/** Bytes of a path that one call of the host takes, without the NUL behind it. */
const LONGEST_PATH = { linux: 4095, darwin: 1023 }[process.platform as string] ?? Number.POSITIVE_INFINITY;

/** Bytes of a path that is too long that its error shows. */
const SHOWN_OF_PATH = 60;

export class Destination {
  readonly folder: string;
  readonly #prefix: Buffer;
  readonly #force: boolean;
  /** Under this name things are made, in the folder that they belong to. */
  readonly #temporary = `.imgbuild-${randomBytes(8).toString("hex")}`;
  /** What is being made under it. */
  #unfinished: Buffer | undefined;
  /** Folders that were there before and may be used once, with the modes that they had. */
  readonly #existing = new Map<ByteString, number>();
  /** Folders that were there before and are in use, likewise. */
  readonly #used = new Map<ByteString, number>();
  /** Inodes of what is to be replaced. */
  readonly #inTheWay = new Map<ByteString, bigint>();

  constructor(folder: string, force: boolean) {
    this.folder = path.resolve(folder);
    this.#prefix = Buffer.from(`${this.folder}${path.sep}`);
    this.#force = force;
  }

  /** Where the name of a tree is on the host. */
  hostPath(name: ByteString): Buffer {
    return name === "" ? Buffer.from(this.folder) : Buffer.concat([this.#prefix, toBytes(name)]);
  }

  /** Checks every name, and finds what is in the way, or that it has to stay there; nothing is written before. */
  prepare(tree: Tree): void {
    this.attempt("" as ByteString, () => fs.mkdirSync(this.folder, { recursive: true }));
    this.#existing.set("" as ByteString, fs.statSync(this.folder).mode);
    for (const { path: name, node } of walk(tree)) {
      if (node.type === "directory") for (const entry of node.entries.keys()) checkName(entry, name);
      if (name === "") continue;
      this.#checkLength(name, node.type === "directory");
      const target = this.hostPath(name);
      const parent = name.includes("/") ? (name.slice(0, name.lastIndexOf("/")) as ByteString) : ("" as ByteString);
      // What is not in a folder that is there is not there itself.
      const found = this.#existing.has(parent) ? lstat(target) : undefined;
      if (found === undefined) continue;
      if (!this.#force) {
        throw new ImgbuildError("source-invalid", `${this.#shown(name)} is there already`, {
          hint: "Extract into a folder that is empty or new, or give --force to replace what is in the way.",
        });
      }
      if (found.isDirectory() && node.type === "directory") this.#existing.set(name, Number(found.mode));
      else if (found.isDirectory() && this.attempt(name, () => fs.readdirSync(target)).length > 0) {
        // That takes more than a word on the command line.
        throw new ImgbuildError(
          "source-invalid",
          `${this.#shown(name)} is a folder with something in it, and a ${node.type} is to be there`,
          {
            hint: "Remove the folder, or extract into another one.",
          },
        );
      } else this.#inTheWay.set(name, found.ino);
    }
  }

  /** Throws for a path that is too long for the host, or would be under the name that things are made under. */
  #checkLength(name: ByteString, isFolder: boolean): void {
    const start = name.lastIndexOf("/") + 1;
    const last = isFolder ? name.length - start : Math.max(name.length - start, this.#temporary.length);
    const length = this.#prefix.length + start + last;
    if (length <= LONGEST_PATH) return;
    throw new ImgbuildError(
      "not-representable",
      `/${display(name.slice(0, SHOWN_OF_PATH) as ByteString)}... would have a path of ${length} bytes here, and ${LONGEST_PATH} are possible`,
      { hint: "Use --tar, which writes an archive; or extract what is further down by itself." },
    );
  }

  /** Makes the folder `name`, or takes the one that is there: usable for us alone until all is in place, whatever its mode will be. */
  makeFolder(name: ByteString): void {
    const mode = this.#existing.get(name);
    if (mode === undefined) {
      this.#clear(name, true);
      this.attempt(name, () => fs.mkdirSync(this.hostPath(name), 0o700));
    } else if (name !== "") {
      // Once: on some disks another name of the tree is the same folder.
      this.#existing.delete(name);
      this.attempt(name, () => fs.chmodSync(this.hostPath(name), 0o700));
      this.#used.set(name, mode);
    }
  }

  /** Makes something with `make`, under a name of its own, and moves it to `name`; or leaves everything as it is. */
  async put(name: ByteString, make: (temporary: Buffer) => unknown): Promise<void> {
    const temporary = this.hostPath(`${name.slice(0, name.lastIndexOf("/") + 1)}${this.#temporary}` as ByteString);
    this.#unfinished = temporary;
    try {
      await make(temporary);
      this.#clear(name);
      this.attempt(name, () => fs.renameSync(temporary, this.hostPath(name)));
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    } finally {
      this.#unfinished = undefined;
    }
  }

  /** A folder for what is to be put elsewhere; `abandon` and `closeWorkshop` remove it. */
  openWorkshop(): string {
    fs.mkdirSync(this.#workshop, 0o700);
    return this.#workshop;
  }

  closeWorkshop(): void {
    fs.rmSync(this.#workshop, { recursive: true, force: true });
  }

  get #workshop(): string {
    return path.join(this.folder, `${this.#temporary}.d`);
  }

  /** Removes what is not complete, and gives folders that were there the modes that they had. */
  abandon(): void {
    if (this.#unfinished !== undefined) fs.rmSync(this.#unfinished, { force: true });
    this.closeWorkshop();
    for (const [name, mode] of this.#used) fs.chmodSync(this.hostPath(name), mode);
  }

  /**
   * Makes place for `name`: only for a folder, or of one, does that take removing. Throws where something is there that was
   * not: another name of the tree has become it, and a rename would replace that.
   */
  #clear(name: ByteString, forFolder = false): void {
    const target = this.hostPath(name);
    const found = lstat(target);
    if (found === undefined) return;
    if (found.ino !== this.#inTheWay.get(name)) throw this.#twice(name);
    if (found.isDirectory()) this.attempt(name, () => fs.rmdirSync(target));
    else if (forFolder) this.attempt(name, () => fs.unlinkSync(target));
  }

  /** Calls the host, and explains what it refuses. */
  attempt<T>(name: ByteString, call: () => T): T {
    try {
      return call();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") throw this.#twice(name);
      throw hostWriteError(this.#shown(name), error);
    }
  }

  #twice(name: ByteString): ImgbuildError {
    return new ImgbuildError(
      "source-invalid",
      `${this.#shown(name)} was made a moment ago: two names that differ are one for this disk`,
      { hint: "Extract to a disk that tells upper from lower case, or use --tar." },
    );
  }

  #shown(name: ByteString): string {
    return display(fromText(path.join(this.folder, display(name))));
  }
}

const lstat = (target: Buffer) => fs.lstatSync(target, { throwIfNoEntry: false, bigint: true });

/** Throws for a path whose names the host would take for something else. Readers let none of them through; this does not rely on it. */
function checkName(name: ByteString, folder: ByteString): void {
  const windows = process.platform === "win32" && WINDOWS_RESERVED.test(name);
  if (!["", ".", ".."].includes(name) && !/[\0/]/.test(name) && !windows) return;
  throw new ImgbuildError(
    "not-representable",
    `/${display(folder)} has the name "${display(name)}" in it, which no file here can have`,
    {
      hint: "Use --tar, which writes an archive.",
    },
  );
}
