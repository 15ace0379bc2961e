/**
 * One line a node, for comparing a tree with what the kernel shows of it. The two sides share no code: `describeTree` asks
 * our tree, `describeDirectory` asks lstat, the files themselves and getfattr.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { type ByteString, fromBytes, fromText, toBytes } from "../../src/bytes/bytestring.js";
import type { Node } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import { run } from "./tools.js";

export interface DescribeOptions {
  /** Whether nanoseconds of mtime are shown. SquashFS has none. Default: false. */
  readonly nanoseconds?: boolean;
  /** Paths that only one side has: lost+found. */
  readonly ignore?: readonly string[];
}

/** What a line says of one path. */
export interface Facts {
  path: string;
  type: string;
  mode: number;
  uid: number;
  gid: number;
  mtime: string;
  /** Size and hash of a file, target of a link, numbers of a device. */
  detail: string;
  /** The first of all paths that are the same inode. */
  link: string;
  xattrs: string;
}

export function line(facts: Facts): string {
  const { type, mode, uid, gid, mtime, detail, link, path, xattrs } = facts;
  return [
    type,
    mode.toString(8).padStart(4, "0"),
    `${uid}:${gid}`,
    `@${mtime}`,
    detail,
    link === path ? "" : `= ${link}`,
    xattrs,
  ]
    .filter((part) => part !== "")
    .join(" ");
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** Names and values in hexadecimal digits, in one order. */
export function xattrText(xattrs: Iterable<[string, string]>): string {
  return [...xattrs]
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(",");
}

async function hashNode(node: Node): Promise<string> {
  switch (node.type) {
    case "file": {
      const hash = createHash("sha256");
      const reader = await node.content.open();
      for (let at = 0; at < node.content.size; at += 2 ** 20) {
        const bytes = new Uint8Array(Math.min(2 ** 20, node.content.size - at));
        await reader.read(at, bytes);
        hash.update(bytes);
      }
      await reader.close();
      return `${node.content.size} ${hash.digest("hex")}`;
    }
    case "symlink":
      return `-> ${node.target}`;
    case "block":
    case "character":
      return `${node.major},${node.minor}`;
    default:
      return "";
  }
}

/** Every path of the tree with its description. */
export async function describeTree(tree: Tree, options: DescribeOptions = {}): Promise<Map<string, string>> {
  const lines = new Map<string, string>();
  const first = new Map<Node, string>();
  for (const { path, node } of walk(tree)) {
    if (options.ignore?.includes(path)) continue;
    if (!first.has(node)) first.set(node, path);
    const { seconds, nanoseconds } = node.mtime;
    lines.set(
      path,
      line({
        path,
        type: node.type,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        mtime: options.nanoseconds ? `${seconds}.${String(nanoseconds).padStart(9, "0")}` : `${seconds}`,
        detail: await hashNode(node),
        link: first.get(node)!,
        xattrs: xattrText([...node.xattrs].map(([name, value]) => [name, hex(value)])),
      }),
    );
  }
  return lines;
}

const TYPES: Record<number, string> = {
  [fs.constants.S_IFDIR]: "directory",
  [fs.constants.S_IFREG]: "file",
  [fs.constants.S_IFLNK]: "symlink",
  [fs.constants.S_IFBLK]: "block",
  [fs.constants.S_IFCHR]: "character",
  [fs.constants.S_IFIFO]: "fifo",
  [fs.constants.S_IFSOCK]: "socket",
};

/** Every path below a folder of the host, as the kernel shows it. Needs getfattr. */
export function describeDirectory(folder: string, options: DescribeOptions = {}): Map<string, string> {
  const lines = new Map<string, string>();
  const first = new Map<string, string>();
  const xattrs = readXattrs(folder);
  const hostPath = (path: ByteString) => Buffer.concat([Buffer.from(`${folder}/`), toBytes(path)]);
  const visit = (path: ByteString) => {
    if (options.ignore?.includes(path)) return;
    const stat = fs.lstatSync(hostPath(path), { bigint: true });
    const inode = `${stat.dev}:${stat.ino}`;
    const type = TYPES[Number(stat.mode) & 0o170000] ?? "unknown";
    if (type === "directory" || !first.has(inode)) first.set(inode, path);
    let detail = "";
    if (type === "file") detail = `${stat.size} ${hashFile(hostPath(path))}`;
    if (type === "symlink") detail = `-> ${fromBytes(fs.readlinkSync(hostPath(path), { encoding: "buffer" }))}`;
    if (type === "block" || type === "character") detail = deviceNumbers(stat.rdev);
    const nanoseconds = ((stat.mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    const seconds = (stat.mtimeNs - nanoseconds) / 1_000_000_000n;
    lines.set(
      path,
      line({
        path,
        type,
        mode: Number(stat.mode) & 0o7777,
        uid: Number(stat.uid),
        gid: Number(stat.gid),
        mtime: options.nanoseconds ? `${seconds}.${String(nanoseconds).padStart(9, "0")}` : `${seconds}`,
        detail,
        link: first.get(inode)!,
        xattrs: xattrs.get(path) ?? "",
      }),
    );
    if (type === "directory") {
      const names = fs.readdirSync(hostPath(path), { encoding: "buffer" }).map(fromBytes).sort();
      for (const name of names) visit((path === "" ? name : `${path}/${name}`) as ByteString);
    }
  };
  visit("" as ByteString);
  return lines;
}

/** Linux's encoding of st_rdev (makedev in sysmacros.h). */
function deviceNumbers(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return `${major},${minor & 0xffffffffn}`;
}

const buffer = Buffer.alloc(2 ** 20);

function hashFile(path: Buffer): string {
  const hash = createHash("sha256");
  const fd = fs.openSync(path, "r");
  for (let count = fs.readSync(fd, buffer); count > 0; count = fs.readSync(fd, buffer))
    hash.update(buffer.subarray(0, count));
  fs.closeSync(fd);
  return hash.digest("hex");
}

function readXattrs(folder: string): Map<string, string> {
  const unescapeOctal = (text: string) =>
    text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  const all = new Map<string, string>();
  const prefix = fromText(folder);
  for (const block of getfattr(folder).split("\n\n")) {
    const [head, ...pairs] = block.split("\n").filter((text) => text !== "");
    if (!head?.startsWith("# file: ")) continue;
    const path = unescapeOctal(head.slice(8)).slice(prefix.length).replace(/^\//, "");
    all.set(
      path,
      xattrText(
        pairs.map((pair) => {
          const at = pair.indexOf("=");
          return at < 0
            ? [unescapeOctal(pair), ""]
            : [unescapeOctal(pair.slice(0, at)), pair.slice(at + 1).replace(/^0[xs]/, "")];
        }),
      ),
    );
  }
  return all;
}

function getfattr(folder: string): string {
  try {
    return run("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", folder]);
  } catch (error) {
    // Where no file has attributes, SquashFS has no table of them, and the kernel says of each that it supports none.
    const { message } = error as Error;
    if (message.includes(": Operation not supported") && !message.includes("# file: ")) return "";
    throw error;
  }
}
