/**
 * Writes a tree into a folder of the host (destination.ts). Every entry is made anew; symlinks come after all else, so that
 * nothing is ever written through one, whatever the tree has in it.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, toBytes } from "../bytes/bytestring.js";
import { breathe } from "../bytes/file-device.js";
import { Destination } from "./destination.js";
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
/**
 * Makes `folder` hold what `tree` says: contents with their holes, hard links, modes, times to the microsecond,
 * attributes; with privileges owners and devices. What cannot be made is left out, and counted in one notice.
 *
 * Throws `source-invalid` where something is in the way, or where two names of the tree are one on the host, before anything
 * of the kind is overwritten; `not-representable` for names that would lead out of the folder; and what reading throws. After
 * an error, what was made until then stays, and of what was there before everything that nothing complete has replaced.
 */
export async function writeDirectory(tree: Tree, folder: string, options: WriteDirectoryOptions = {}): Promise<void> {
  await directoryWriting(tree, folder, options).write();
}

/** Who writes a tree, for callers that may be interrupted. */
export interface DirectoryWriting {
  /** As `writeDirectory` does it. */
  write(): Promise<void>;
  /** Cleans up in the middle of that, as after an error. Nothing may be written afterwards. */
  abandon(): void;
}

/** What `writeDirectory` does, to be begun. Options and errors are the same. */
export function directoryWriting(tree: Tree, folder: string, options: WriteDirectoryOptions = {}): DirectoryWriting {
  return new DirectoryWriter(tree, folder, options);
}

class DirectoryWriter implements DirectoryWriting {
  readonly #tree: Tree;
  readonly #destination: Destination;
  readonly #privileged: boolean;
  readonly #observer: Observer;
  /** The first path of every node that was made. */
  readonly #made = new Map<Node, ByteString>();
  /** What was left out, and how often. */
  readonly #omitted = new Map<string, number>();

  constructor(
    tree: Tree,
    folder: string,
    { force = false, privileged = process.getuid?.() === 0, observer = {} }: WriteDirectoryOptions,
  ) {
    this.#tree = tree;
    this.#destination = new Destination(folder, force);
    this.#privileged = privileged;
    this.#observer = observer;
  }

  async write(): Promise<void> {
    this.#destination.prepare(this.#tree);
    try {
      await this.#makeNodes();
      await this.#makeSpecials();
      await this.#makeSymlinks();
    } catch (error) {
      this.abandon();
      throw error;
    }
    await this.#setMetadata();
    if (this.#omitted.size > 0) {
      const parts = [...this.#omitted].map(([what, count]) => `${what} (${count})`);
      this.#observer.notice?.(`left out: ${parts.join(", ")}; --tar writes an archive that has them`);
    }
  }

  abandon(): void {
    this.#destination.abandon();
  }

  /** Folders, files, and further names of files. */
  async #makeNodes(): Promise<void> {
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type === "directory") {
        this.#destination.makeFolder(name);
        this.#made.set(node, name);
      } else if (node.type === "file") {
        if (await this.#isFurtherName(name, node)) continue;
        await this.#destination.put(name, (temporary) => this.#writeFile(name, temporary, node.content));
        this.#made.set(node, name);
      }
    }
  }

  /** Makes `name` another name of `node` when that has one already. */
  async #isFurtherName(name: ByteString, node: Node): Promise<boolean> {
    const known = this.#made.get(node);
    if (known === undefined) return false;
    await this.#destination.put(name, (temporary) =>
      this.#destination.attempt(name, () => fs.linkSync(this.#destination.hostPath(known), temporary)),
    );
    return true;
  }

  async #writeFile(name: ByteString, temporary: Buffer, content: Content): Promise<void> {
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW = 0 } = fs.constants;
    const fd = this.#destination.attempt(name, () =>
      fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    );
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
          this.#destination.attempt(name, () => writeFully(fd, bytes, at));
          this.#observer.progress?.(bytes.length, 0);
        }
      }
      this.#destination.attempt(name, () => fs.ftruncateSync(fd, size));
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
    const workshop = this.#destination.openWorkshop();
    try {
      const script = specials.map(({ node }, i) => `mknod -m 600 ${i} ${mknodArguments(node)}\n`).join("");
      await runProgram("sh", [], workshop, drain, [Buffer.from(script)]);
      for (const [i, { name, node }] of specials.entries()) {
        const made = path.join(workshop, `${i}`);
        if (await this.#isFurtherName(name, node)) continue;
        if (!fs.existsSync(made)) this.#omit("device nodes and fifos that mknod cannot make here");
        else {
          await this.#destination.put(name, (temporary) =>
            this.#destination.attempt(name, () => fs.renameSync(made, temporary)),
          );
          this.#made.set(node, name);
        }
      }
    } finally {
      this.#destination.closeWorkshop();
    }
  }

  async #makeSymlinks(): Promise<void> {
    for (const { path: name, node } of walk(this.#tree)) {
      if (node.type !== "symlink" || (await this.#isFurtherName(name, node))) continue;
      const target = Buffer.from(toBytes(node.target));
      await this.#destination.put(name, (temporary) =>
        this.#destination.attempt(name, () => fs.symlinkSync(target, temporary)),
      );
      this.#made.set(node, name);
    }
  }

  /** Owners, modes, attributes; then times, from the leaves up: a folder's changes with its entries, as its mode would hinder. */
  async #setMetadata(): Promise<void> {
    const nodes = [...this.#made];
    for (const [node, name] of nodes) this.#setOwner(node, name);
    await this.#setXattrs(nodes);
    for (const [node, name] of nodes.reverse()) {
      const target = this.#destination.hostPath(name);
      this.#destination.attempt(name, () => {
        if (node.type !== "symlink") fs.chmodSync(target, this.#modeOf(node));
        const time = hostTime(node.mtime);
        fs.lutimesSync(target, time, time);
      });
    }
  }

  #setOwner(node: Node, name: ByteString): void {
    if (this.#privileged)
      this.#destination.attempt(name, () => fs.lchownSync(this.#destination.hostPath(name), node.uid, node.gid));
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
    const failed = await writeHostXattrs(this.#destination.folder, settable);
    if (failed > 0) this.#omit("files' attributes that setfattr (package attr) cannot set here", failed);
  }

  #omit(what: string, count = 1): void {
    this.#omitted.set(what, (this.#omitted.get(what) ?? 0) + count);
  }
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
