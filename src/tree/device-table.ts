/**
 * Device tables as Buildroot's makedevs reads them: device nodes and owners that the user who made the tree could not set.
 * One entry a line, "#" begins a comment, "-" stands for a field that is not given:
 *
 *   name  type  mode  uid  gid  major  minor  start  increment  count
 *   |xattr cap_net_raw+ep                     capabilities for the entry before
 *
 * Types are f (a file that exists), F (a file that may), d (a folder, made if missing), r (a folder and all below it),
 * c, b and p (device nodes and fifos to be made). Source: Buildroot's manual, "Makedev syntax documentation".
 */
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { readAccounts, resolveId } from "./accounts.js";
import { encodeCapabilities } from "./capabilities.js";
import { MAX_MAJOR, MAX_MINOR } from "./device-number.js";
import { type Metadata, NO_XATTRS, type Node, newDirectory, newMetadata, setXattr } from "./node.js";
import { follow, realPath } from "./real-path.js";
import { newestTime } from "./times.js";
import { lookup, splitPath, type Tree, walk } from "./tree.js";

export interface DeviceTableEntry {
  /** "table.txt:12", for messages. */
  readonly where: string;
  readonly path: ByteString;
  readonly type: "f" | "F" | "d" | "r" | "c" | "b" | "p";
  /** Twelve bits, or undefined where the table has -1: leave it as it is. */
  readonly mode: number | undefined;
  /** A number, or a name in the tree's own etc/passwd and etc/group. */
  readonly user: string;
  readonly group: string;
  readonly major: number;
  /** Of the first node; each further one has it `increment` higher. */
  readonly minor: number;
  /** Number behind the name of the first node, where `count` is above 1. */
  readonly start: number;
  readonly increment: number;
  readonly count: number;
  /** Capabilities in cap_from_text's form; empty when there are none. */
  readonly capabilities: string;
}

function tableError(where: string, problem: string): ImgbuildError {
  return new ImgbuildError("source-invalid", `${where}: ${problem}`, {
    hint: "A line has name, type, mode, uid, gid, major, minor, start, increment and count, as Buildroot's makedevs reads them.",
  });
}

/** The entries of a table's text. `file` is its name, for messages. Throws a `source-invalid` error with the line. */
export function readDeviceTable(text: string, file: string): DeviceTableEntry[] {
  const entries: DeviceTableEntry[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const where = `${file}:${i + 1}`;
    const fields = line.trim().split(/\s+/);
    if (fields[0] === "" || fields[0]!.startsWith("#")) continue;
    if (fields[0] === "|xattr") {
      const last = entries.pop();
      if (last === undefined) throw tableError(where, "|xattr has to follow the entry of a file");
      const capabilities = `${last.capabilities} ${fields.slice(1).join(" ")}`.trim();
      try {
        encodeCapabilities(capabilities);
      } catch (error) {
        throw tableError(where, (error as Error).message);
      }
      entries.push({ ...last, capabilities });
    } else {
      entries.push(readEntry(fields, where));
    }
  }
  return entries;
}

function readEntry(fields: readonly string[], where: string): DeviceTableEntry {
  const [name, type = "", mode = "755", user = "0", group = "0", ...numbers] = fields;
  if (!/^[fFdrcbp]$/.test(type)) throw tableError(where, `the type "${type}" is none of f, F, d, r, c, b and p`);
  if (!/^(?:-1|[0-7]{1,4})$/.test(mode)) throw tableError(where, `the mode "${mode}" is not octal, nor -1`);
  if (numbers.length > 5) throw tableError(where, `there are ${fields.length} fields, and 10 at most are known`);
  const number = (index: number, field: string, limit: number) => {
    const text = numbers[index] ?? "-";
    if (text === "-") return 0;
    if (!/^\d{1,7}$/.test(text) || Number(text) > limit) {
      throw tableError(where, `the ${field} "${text}" is not a number up to ${limit}`);
    }
    return Number(text);
  };
  const isNew = "cbp".includes(type);
  if (isNew && mode === "-1") throw tableError(where, "a node that is made needs a mode");
  const entry: DeviceTableEntry = {
    where,
    path: fromText(name!),
    type: type as DeviceTableEntry["type"],
    mode: mode === "-1" ? undefined : Number.parseInt(mode, 8),
    user: user === "-" ? "0" : user,
    group: group === "-" ? "0" : group,
    major: number(0, "major number", MAX_MAJOR),
    minor: number(1, "minor number", MAX_MINOR),
    start: number(2, "start", 0xf_ffff),
    increment: number(3, "increment", 0xf_ffff),
    count: number(4, "count", 0xf_ffff),
    capabilities: "",
  };
  if (entry.minor + Math.max(0, entry.count - 1) * entry.increment > MAX_MINOR) {
    throw tableError(where, `the last minor number is beyond ${MAX_MINOR}`);
  }
  return entry;
}

/**
 * Does what the entries say, in their order. Symlinks on the way to a name are followed inside the tree, as Buildroot's
 * merged /usr needs it. Nodes that are made have the tree's newest time. Rejects with a `source-invalid` error where a
 * file or a user does not exist, or something else is in a node's place.
 */
export async function applyDeviceTable(tree: Tree, entries: readonly DeviceTableEntry[]): Promise<void> {
  const { users, groups } = await readAccounts(tree);
  const mtime = { seconds: newestTime(tree), nanoseconds: 0 };
  for (const entry of entries) {
    const owner = { uid: idOf(entry.user, users, entry.where), gid: idOf(entry.group, groups, entry.where) };
    const change: Partial<Metadata> = entry.mode === undefined ? owner : { ...owner, mode: entry.mode };
    const nodes = "cbp".includes(entry.type)
      ? makeNodes(tree, entry, { ...newMetadata(0o755), ...change, mtime })
      : findNodes(tree, entry, { ...newMetadata(0o755), ...owner, mtime });
    for (const node of nodes) {
      Object.assign(node, node.type === "symlink" ? owner : change);
      if (entry.capabilities === "") continue;
      if (node.type !== "file")
        throw tableError(entry.where, `${display(entry.path)} is no file: it cannot have capabilities`);
      setXattr(node, "security.capability" as ByteString, encodeCapabilities(entry.capabilities));
    }
  }
}

/** What an entry of type f, F, d or r is about. */
function findNodes(tree: Tree, { type, path, where }: DeviceTableEntry, metadata: Metadata): Node[] {
  const node = lookup(tree, realPath(tree, path, type !== "r"));
  if (type === "d") {
    if (node?.type === "directory") return [node];
    const made = newDirectory(metadata);
    place(tree, path, made, where, metadata);
    return [made];
  }
  if (type === "r") {
    if (node === undefined) throw tableError(where, `${display(path)} does not exist`);
    return node.type === "directory" ? Array.from(walk({ root: node }), (visit) => visit.node) : [node];
  }
  if (node?.type === "file") return [node];
  if (type === "F") return [];
  throw tableError(
    where,
    `${display(path)} ${node === undefined ? "does not exist" : `is no file, but a ${node.type}`}`,
  );
}

function makeNodes(tree: Tree, entry: DeviceTableEntry, metadata: Metadata): Node[] {
  const nodes: Node[] = [];
  for (let i = 0; i < Math.max(1, entry.count); i++) {
    const path = entry.count > 1 ? (`${entry.path}${entry.start + i}` as ByteString) : entry.path;
    const { major } = entry;
    const minor = entry.minor + i * entry.increment;
    const shared = { ...metadata, xattrs: NO_XATTRS };
    const node: Node =
      entry.type === "p"
        ? { type: "fifo", ...shared }
        : { type: entry.type === "c" ? "character" : "block", ...shared, major, minor };
    place(tree, path, node, entry.where, { ...metadata, mode: 0o755 });
    nodes.push(node);
  }
  return nodes;
}

/** Puts a new node at `path`, in place of a device node or fifo at most; folders on the way are made. */
function place(tree: Tree, path: ByteString, node: Node, where: string, parents: Metadata): void {
  const names = splitPath(path);
  const name = names.pop();
  if (name === undefined || names.includes(".." as ByteString) || name === "..") {
    throw tableError(where, `${display(path)} is not a path below the root`);
  }
  let folder = tree.root;
  for (let i = 1; i <= names.length; i++) {
    const prefix = names.slice(0, i).join("/") as ByteString;
    let next = follow(tree, prefix);
    if (next === undefined && !folder.entries.has(names[i - 1]!)) {
      next = newDirectory({ ...parents, xattrs: NO_XATTRS });
      folder.entries.set(names[i - 1]!, next);
    }
    if (next?.type !== "directory") throw tableError(where, `${display(prefix)} is not a folder`);
    folder = next;
  }
  const existing = folder.entries.get(name);
  if (
    existing !== undefined &&
    (node.type === "directory" || !["block", "character", "fifo"].includes(existing.type))
  ) {
    throw tableError(where, `${display(path)} exists already, as a ${existing.type}`);
  }
  folder.entries.set(name, node);
}

function idOf(text: string, ids: ReadonlyMap<string, number>, where: string): number {
  const id = resolveId(text, ids);
  if (id !== undefined) return id;
  throw tableError(where, `"${text}" is neither a number nor in the tree's own etc/passwd or etc/group`);
}
