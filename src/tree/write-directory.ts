/**
 * Writes a tree into a folder of the host, from which nothing leads out. Every entry is made anew, in a folder that was made
 * or checked before; symlinks come after all else, so that nothing is ever written through one, whatever the tree has in it.
 * What is no folder is made under a name of its own, beside its place, and moved there when it is complete: reading may fail
 * half-way, and then what was in that place is still there.
 */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, display, fromText, toBytes } from "../bytes/bytestring.js";
import { breathe, hostWriteError } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { runProgram } from "./host-program.js";
import { writeHostXattrs } from "./host-xattrs-writer.js";
import type { Content, DeviceNode, Metadata, Node, SpecialNode, Timestamp } from "./node.js";
import type { Observer } from "./observer.js";
import { type Tree, walk } from "./tree.js";

export interface WriteDirectoryOptions {
  /** Whether what is in the way is replaced. Folders that are there are kept, with what else is in them. Default: an error. */
  readonly force?: boolean;
  /** Whether owners are set and devices made, which takes root. Default: whether this process is root's. */
  readonly privileged?: boolean;
  readonly observer?: Observer;
}

/** Bytes of content that are copied at once. */
const CHUNK = 2 ** 20;
const SETUID_SETGID = 0o6000;
/** The names of Windows' devices, streams and separators would lead elsewhere. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: Windows takes none of them
const WINDOWS_RESERVED = /[\x00-\x1f"*:<>?\\|]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Makes `folder` hold what `tree` says: contents with their holes, hard links, modes, times to the microsecond,
 * attributes; with privileges owners and devices. What cannot be made is left out, and counted in one notice.
 *
 * Throws `source-invalid` where something is in the way, or where two names of the tree are one on the host, before anything
 * of the kind is overwritten; `not-representable` for names that would lead out of the folder; and what reading throws. After
 * an error, what was made until then stays, and of what was there before everything that nothing complete has replaced.
 */
export async function writeDirectory(tree: Tree, folder: string, options: WriteDirectoryOptions = {}): Promise<void> {
  const { force = false, privileged = process.getuid?.() === 0, observer = {} } = options;
  await new DirectoryWriter(tree, folder, force, privileged, observer).write();
}

class DirectoryWriter {
  readonly #tree: Tree;
  readonly #folder: string;
  readonly #prefix: Buffer;
  readonly #force: boolean;
  readonly #privileged: boolean;
  readonly #observer: Observer;
  /** Under this name things are made, in the folder that they belong to. */
  readonly #temporary = `.imgbuild-${randomBytes(8).toString("hex")}`;
  /** Folders that were there before and may be used once, with the modes that they had. */
  readonly #existing = new Map<ByteString, number>();
  /** Folders that were there before and are in use, likewise. */
  readonly #used = new Map<ByteString, number>();
  /** Inodes of what is to be replaced. */
  readonly #inTheWay = new Map<ByteString, bigint>();
  /** The first path of every node that was made. */
  readonly #made = new Map<Node, ByteString>();
  /** What was left out, and how often. */
  readonly #omitted = new Map<string, number>();

  constructor(tree: Tree, folder: string, force: boolean, privileged: boolean, observer: Observer) {
    this.#tree = tree;
    this.#folder = path.resolve(folder);
    this.#prefix = Buffer.from(`${this.#folder}${path.sep}`);
    this.#force = force;
    this.#privileged = privileged;
    this.#observer = observer;
  }

  async write(): Promise<void> {
    this.#prepare();
    try {
      await this.#makeNodes();
      await this.#makeSpecials();
      await this.#makeSymlinks();
    } catch (error) {
      for (const [name, mode] of this.#used) fs.chmodSync(this.#hostPath(name), mode);
      throw error;
    }
    await this.#setMetadata();
    if (this.#omitted.size > 0) {
      const parts = [...this.#omitted].map(([what, count]) => `${what} (${count})`);
      this.#observer.notice?.(`left out: ${parts.join(", ")}; --tar writes an archive that has them`);
    }
  }

  #hostPath(name: ByteString): Buffer {
    return name === "" ? Buffer.from(this.#folder) : Buffer.concat([this.#prefix, toBytes(name)]);
  }

  /** Checks every name, and finds what is in the way, or that it has to stay there; nothing is written before. */
  #prepare(): void {
    this.#attempt("" as ByteString, () => fs.mkdirSync(this.#folder, { recursive: true }));
    this.#existing.set("" as ByteString, fs.statSync(this.#folder).mode);
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type === "directory") for (const entry of node.entries.keys()) checkName(entry, name);
      if (name === "") continue;
      const target = this.#hostPath(name);
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
      else if (found.isDirectory() && this.#attempt(name, () => fs.readdirSync(target)).length > 0) {
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

  /** Makes something with `make`, under a name of its own, and moves it to `name`; or leaves everything as it is. */
  async #put(name: ByteString, make: (temporary: Buffer) => unknown): Promise<void> {
    const temporary = this.#hostPath(`${name.slice(0, name.lastIndexOf("/") + 1)}${this.#temporary}` as ByteString);
    try {
      await make(temporary);
      this.#clear(name);
      this.#attempt(name, () => fs.renameSync(temporary, this.#hostPath(name)));
    } catch (error) {
      fs.rmSync(temporary, { force: true });
      throw error;
    }
  }

  /**
   * Makes place for `name`: only for a folder, or of one, does that take removing. Throws where something is there that was
   * not: another name of the tree has become it, and a rename would replace that.
   */
  #clear(name: ByteString, forFolder = false): void {
    const target = this.#hostPath(name);
    const found = lstat(target);
    if (found === undefined) return;
    if (found.ino !== this.#inTheWay.get(name)) throw this.#twice(name);
    if (found.isDirectory()) this.#attempt(name, () => fs.rmdirSync(target));
    else if (forFolder) this.#attempt(name, () => fs.unlinkSync(target));
  }

  /** Folders, files, and further names of files. */
  async #makeNodes(): Promise<void> {
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type === "directory") {
        this.#makeFolder(name);
        this.#made.set(node, name);
      } else if (node.type === "file") {
        if (await this.#isFurtherName(name, node)) continue;
        await this.#put(name, (temporary) => this.#writeFile(name, temporary, node.content));
        this.#made.set(node, name);
      }
    }
  }

  /** Usable for us alone until all is in place, whatever its mode will be. */
  #makeFolder(name: ByteString): void {
    const mode = this.#existing.get(name);
    if (mode === undefined) {
      this.#clear(name, true);
      this.#attempt(name, () => fs.mkdirSync(this.#hostPath(name), 0o700));
    } else if (name !== "") {
      // Once: on some disks another name of the tree is the same folder.
      this.#existing.delete(name);
      this.#attempt(name, () => fs.chmodSync(this.#hostPath(name), 0o700));
      this.#used.set(name, mode);
    }
  }

  /** Makes `name` another name of `node` when that has one already. */
  async #isFurtherName(name: ByteString, node: Node): Promise<boolean> {
    const known = this.#made.get(node);
    if (known === undefined) return false;
    await this.#put(name, (temporary) => this.#attempt(name, () => fs.linkSync(this.#hostPath(known), temporary)));
    return true;
  }

  async #writeFile(name: ByteString, temporary: Buffer, content: Content): Promise<void> {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = fs.constants;
    const fd = this.#attempt(name, () => fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    try {
      if (content.size > 0) await this.#copy(name, content, fd);
    } finally {
      fs.closeSync(fd);
    }
    this.#observer.progress?.(0, 1);
  }

  async #copy(name: ByteString, content: Content, fd: number): Promise<void> {
    const { size, data = [{ start: 0, end: size }] } = content;
    const reader = await content.open();
    try {
      for (const { start, end } of data) {
        for (let at = start; at < end; at += CHUNK) {
          await breathe();
          const bytes = new Uint8Array(Math.min(CHUNK, end - at));
          await reader.read(at, bytes);
          this.#attempt(name, () => writeFully(fd, bytes, at));
          this.#observer.progress?.(bytes.length, 0);
        }
      }
      this.#attempt(name, () => fs.ftruncateSync(fd, size));
    } finally {
      await reader.close();
    }
  }

  /** Devices, for root, and fifos. Sockets mean nothing without the program that made them. */
  async #makeSpecials(): Promise<void> {
    const specials: { name: ByteString; node: DeviceNode | SpecialNode }[] = [];
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type !== "fifo" && node.type !== "block" && node.type !== "character" && node.type !== "socket")
        continue;
      if (node.type === "socket") this.#omit("sockets");
      else if (node.type !== "fifo" && !this.#privileged) this.#omit("device nodes");
      else specials.push({ name, node });
    }
    if (specials.length === 0) return;
    // Node has no call for them, and hands no names to programs that are not UTF-8: they are made under plain ones.
    const workshop = path.join(this.#folder, `${this.#temporary}.d`);
    fs.mkdirSync(workshop, 0o700);
    try {
      const script = specials.map(({ node }, i) => `mknod -m 600 ${i} ${mknodArguments(node)}\n`).join("");
      await runProgram("sh", [], workshop, drain, [Buffer.from(script)]);
      for (const [i, { name, node }] of specials.entries()) {
        const made = path.join(workshop, `${i}`);
        if (await this.#isFurtherName(name, node)) continue;
        if (!fs.existsSync(made)) this.#omit("device nodes and fifos that mknod cannot make here");
        else {
          await this.#put(name, (temporary) => this.#attempt(name, () => fs.renameSync(made, temporary)));
          this.#made.set(node, name);
        }
      }
    } finally {
      fs.rmSync(workshop, { recursive: true, force: true });
    }
  }

  async #makeSymlinks(): Promise<void> {
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type !== "symlink" || (await this.#isFurtherName(name, node))) continue;
      const target = Buffer.from(toBytes(node.target));
      await this.#put(name, (temporary) => this.#attempt(name, () => fs.symlinkSync(target, temporary)));
      this.#made.set(node, name);
    }
  }

  /** Owners, modes, attributes; then times, from the leaves up: a folder's changes with its entries, as its mode would hinder. */
  async #setMetadata(): Promise<void> {
    const nodes = [...this.#made];
    for (const [node, name] of nodes) this.#setOwner(node, name);
    await this.#setXattrs(nodes);
    for (const [node, name] of nodes.reverse()) {
      const target = this.#hostPath(name);
      this.#attempt(name, () => {
        if (node.type !== "symlink") fs.chmodSync(target, this.#modeOf(node));
        const time = hostTime(node.mtime);
        fs.lutimesSync(target, time, time);
      });
    }
  }

  #setOwner(node: Node, name: ByteString): void {
    if (this.#privileged) this.#attempt(name, () => fs.lchownSync(this.#hostPath(name), node.uid, node.gid));
    else if (node.uid !== process.getuid?.() || node.gid !== process.getgid?.()) this.#omit("owners");
  }

  /** Without its owner, a program that runs as its owner would run as whoever extracted it. */
  #modeOf(node: Node): number {
    if (this.#privileged || node.type === "directory" || (node.mode & SETUID_SETGID) === 0) return node.mode;
    this.#omit("setuid and setgid bits");
    return node.mode & ~SETUID_SETGID;
  }

  async #setXattrs(nodes: readonly [Node, ByteString][]): Promise<void> {
    const settable: [ByteString, Metadata["xattrs"]][] = [];
    for (const [node, name] of nodes) {
      const kept = new Map<ByteString, Uint8Array>();
      for (const [key, value] of node.xattrs) {
        if (this.#privileged || /^(?:user|system)\./.test(key)) kept.set(key, value);
        else this.#omit("attributes that take root");
      }
      if (kept.size > 0) settable.push([name, kept]);
    }
    const failed = await writeHostXattrs(this.#folder, settable);
    if (failed > 0) this.#omit("files' attributes that setfattr (package attr) cannot set here", failed);
  }

  #omit(what: string, count = 1): void {
    this.#omitted.set(what, (this.#omitted.get(what) ?? 0) + count);
  }

  /** Calls the host, and explains what it refuses. */
  #attempt<T>(name: ByteString, call: () => T): T {
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
    return display(fromText(path.join(this.#folder, display(name))));
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

/** Numbers below 0 are "now" for Node, dates are not. */
function hostTime({ seconds, nanoseconds }: Timestamp): number | Date {
  return seconds < 0 ? new Date(seconds * 1000 + nanoseconds / 1e6) : seconds + nanoseconds / 1e9;
}

function mknodArguments(node: DeviceNode | SpecialNode): string {
  if (node.type === "fifo") return "p";
  return "major" in node ? `${node.type === "block" ? "b" : "c"} ${node.major} ${node.minor}` : "p";
}

async function drain(output: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of output);
}

function writeFully(fd: number, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done);
}
