/** Does what pseudo-file definitions say to a tree. */
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { type ByteString, compareBytes, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { type Accounts, readAccounts, resolveId } from "./accounts.js";
import { readHostNode } from "./directory.js";
import { type Content, type Directory, type Metadata, type Node, newDirectory, newFile } from "./node.js";
import { type PseudoDefinition, pseudoError } from "./pseudo-file.js";
import { follow } from "./real-path.js";
import { appendToSpool, openSpool, readSpool } from "./spool.js";
import { lookup, splitPath, type Tree } from "./tree.js";

export interface PseudoOptions {
  /** Of nodes whose definition has no time, in seconds since 1970. */
  readonly time: number;
  /** A folder of the host for a temporary file with what the commands print. */
  readonly spool: string;
  /** The node of a file of the host; by default one of its own. A node that is in the tree already gets a further name. */
  readonly hostNode?: (file: string) => Promise<Node>;
  /** Told of each definition that changes nothing, with its line. */
  readonly notice?: (text: string) => void;
}

/**
 * Applies `definitions` as mksquashfs does: folders first, so that what is in them may come before them; attributes last.
 * What exists already stays, and so does what two definitions claim for the first of them: the other is left out with a
 * notice, as is a change to something that does not exist. Symlinks on the way to a name are followed inside the tree.
 *
 * Commands run in the shell /bin/sh in the current folder, without standard input. Rejects with `source-invalid`, with the
 * line, where a folder for a node is missing, a user is not known, or a command fails; `tool-missing` without a shell.
 */
export async function applyPseudo(
  tree: Tree,
  definitions: readonly PseudoDefinition[],
  options: PseudoOptions,
): Promise<void> {
  const applying = new Applying(tree, await readAccounts(tree), options);
  try {
    for (const definition of inOrder(applying.withoutRepeated(definitions))) await applying.apply(definition);
  } catch (error) {
    applying.abandon();
    throw error;
  }
}

/** Folders before what may be in them, attributes after the nodes that they may be of; otherwise as they come. */
function inOrder(definitions: readonly PseudoDefinition[]): PseudoDefinition[] {
  const rank = ({ type }: PseudoDefinition) => (type === "directory" ? 0 : type === "xattr" ? 2 : 1);
  return definitions.toSorted(
    (a, b) => rank(a) - rank(b) || (a.type === "directory" ? compareBytes(a.path, b.path) : 0),
  );
}

class Applying {
  readonly #tree: Tree;
  readonly #accounts: Accounts;
  readonly #options: PseudoOptions;
  readonly #hostNode: (file: string) => Promise<Node>;
  #spool: Spool | undefined;

  constructor(tree: Tree, accounts: Accounts, options: PseudoOptions) {
    this.#tree = tree;
    this.#accounts = accounts;
    this.#options = options;
    this.#hostNode = options.hostNode ?? ((file) => readHostNode(file));
  }

  /** One definition for each path, the first; but any number of attributes. */
  withoutRepeated(definitions: readonly PseudoDefinition[]): PseudoDefinition[] {
    const first = new Map<ByteString, string>();
    return definitions.filter(({ type, path, where }) => {
      if (type === "xattr") return true;
      const earlier = first.get(path);
      if (earlier === undefined) first.set(path, where);
      else this.#leaveOut(where, `${shown(path)} is defined at ${earlier} already`);
      return earlier === undefined;
    });
  }

  async apply(definition: PseudoDefinition): Promise<void> {
    const { path, where } = definition;
    if (definition.type === "modify" || definition.type === "xattr" || path === "") this.#change(definition);
    else {
      const { folder, name } = this.#place(definition);
      if (folder.entries.has(name)) {
        this.#leaveOut(where, `${shown(path)} exists already (type m changes it, --exclude leaves it out)`);
      } else folder.entries.set(name, await this.#make(definition));
    }
  }

  #leaveOut(where: string, why: string): void {
    this.#options.notice?.(`${where}: left out: ${why}`);
  }

  #change(definition: PseudoDefinition): void {
    const { path, where, type } = definition;
    let node: Node | undefined = this.#tree.root;
    if (path !== "") {
      const parent = follow(this.#tree, parentOf(path));
      node = parent?.type === "directory" ? parent.entries.get(lastOf(path)) : undefined;
    }
    if (node === undefined) {
      this.#leaveOut(where, `${shown(path)} does not exist`);
    } else if (type === "xattr") {
      node.xattrs = new Map(node.xattrs).set(definition.name, definition.value);
    } else if (type === "modify" || type === "directory") {
      const { mode, time } = definition;
      Object.assign(node, { mode, ...this.#ownerOf(definition) });
      if (time !== undefined) node.mtime = { seconds: time, nanoseconds: 0 };
    } else throw pseudoError(where, "the root has to be a folder");
  }

  /** Gives up what the commands printed. Otherwise contents of the tree read it, for as long as there is the tree. */
  abandon(): void {
    this.#spool?.close();
  }

  /** The folder that a new node goes to. */
  #place({ path, where }: PseudoDefinition): { folder: Directory; name: ByteString } {
    const folder = follow(this.#tree, parentOf(path));
    if (folder?.type === "directory") return { folder, name: lastOf(path) };
    const parent = display(parentOf(path));
    throw folder === undefined
      ? pseudoError(
          where,
          `there is no place for ${display(path)}: ${parent} does not exist`,
          `Define the folder as well: ${parent} d 755 0 0`,
        )
      : pseudoError(
          where,
          `there is no place for ${display(path)}: ${parent} is a ${folder.type}`,
          `Define it in a folder, or leave ${parent} out with --exclude and define a folder there: ${parent} d 755 0 0`,
        );
  }

  async #make(definition: PseudoDefinition): Promise<Node> {
    const { type, where } = definition;
    switch (type) {
      case "host-file": {
        const node = await this.#hostNode(definition.file).catch((error: Error) => {
          if (!(error instanceof ImgbuildError)) throw error;
          const { code, message, hint = "Check the path.", data } = error;
          throw new ImgbuildError(code, `${where}: ${message}`, { hint, data, cause: error });
        });
        if (node.type !== "directory") return node;
        throw pseudoError(where, `${definition.file} is a folder`, "Give it as one more source.");
      }
      case "link": {
        const node = lookup(this.#tree, definition.target);
        if (node !== undefined && node.type !== "directory") return node;
        const why = node === undefined ? "does not exist, or is defined further down" : "is a folder";
        throw pseudoError(where, `a hard link to ${shown(definition.target)} cannot be made: it ${why}`);
      }
      case "directory":
        return newDirectory(this.#metadataOf(definition));
      case "command":
        this.#spool ??= new Spool(this.#options.spool);
        return newFile(await this.#spool.outputOf(definition), this.#metadataOf(definition));
      case "symlink":
        return { type, ...this.#metadataOf(definition), target: definition.target };
      case "block":
      case "character": {
        const { major, minor } = definition;
        return { type, ...this.#metadataOf(definition), major, minor };
      }
      case "fifo":
      case "socket":
        return { type, ...this.#metadataOf(definition) };
      default:
        throw new Error(`a definition of type ${type} makes no node`);
    }
  }

  #metadataOf(
    definition: PseudoDefinition & { mode: number; user: string; group: string; time: number | undefined },
  ): Metadata {
    const { mode, time = this.#options.time } = definition;
    return { mode, ...this.#ownerOf(definition), mtime: { seconds: time, nanoseconds: 0 }, xattrs: new Map() };
  }

  #ownerOf({ user, group, where }: { user: string; group: string; where: string }): { uid: number; gid: number } {
    return { uid: idOf(user, this.#accounts.users, where), gid: idOf(group, this.#accounts.groups, where) };
  }
}

const parentOf = (path: ByteString) => splitPath(path).slice(0, -1).join("/") as ByteString;
const lastOf = (path: ByteString) => splitPath(path).at(-1)!;
const shown = (path: ByteString) => (path === "" ? "the root" : display(path));

function idOf(text: string, ids: ReadonlyMap<string, number>, where: string): number {
  const id = resolveId(text, ids);
  if (id !== undefined) return id;
  throw pseudoError(
    where,
    `"${text}" is neither a number nor in the tree's own etc/passwd or etc/group`,
    "Write the number: names would otherwise mean the users of the host.",
  );
}

/** What commands print, one after the other in one file. */
class Spool {
  readonly #folder: string;
  readonly #fd: number;
  #size = 0;

  constructor(folder: string) {
    this.#folder = folder;
    this.#fd = openSpool(folder);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  async outputOf({ command, where }: { command: string; where: string }): Promise<Content> {
    const child = spawn("/bin/sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise<string>((resolve, reject) => {
      child.once("error", (cause) => {
        const hint = "Commands of pseudo files need a host that has it.";
        reject(new ImgbuildError("tool-missing", `${where}: cannot run /bin/sh`, { hint, cause }));
      });
      child.once("close", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
    const [size, end] = await Promise.all([appendToSpool(this.#fd, this.#folder, child.stdout), ended]).catch(
      (error) => {
        child.kill();
        throw error;
      },
    );
    if (end !== "exit code 0") {
      const hint = "The image would have what it printed up to then. Run the command alone to see what is wrong.";
      throw pseudoError(where, `the command \`${command}\` ended with ${end}`, hint);
    }
    const start = this.#size;
    this.#size += size;
    return {
      size,
      open: async () => ({
        read: async (at, into) => readSpool(this.#fd, this.#folder, into, start + at),
        close: async () => {},
      }),
    };
  }
}
