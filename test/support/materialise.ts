/** Writes a tree into a folder of the host, as root: what formats are compared with, and what real tools get as input. */
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { type ByteString, fromText, toBytes } from "../../src/bytes/bytestring.js";
import type { Node, RegularFile } from "../../src/tree/node.js";
import { type Tree, walk } from "../../src/tree/tree.js";
import { run } from "./tools.js";

/**
 * Makes `folder`, which must be empty or missing, hold what `tree` says: types, names, owners, modes, times (to the
 * second), contents with their known holes, xattrs, hard links. Needs root and setfattr.
 */
export async function materialise(tree: Tree, folder: string): Promise<void> {
  fs.mkdirSync(folder, { recursive: true });
  const hostPath = (name: ByteString) => Buffer.concat([Buffer.from(`${folder}/`), toBytes(name)]);
  const visits = [...walk(tree)];
  const first = new Map<Node, ByteString>();
  const specials: { path: ByteString; node: Node }[] = [];
  for (const { path: name, node } of visits) {
    const target = hostPath(name);
    const known = first.get(node);
    if (known !== undefined) continue;
    first.set(node, name);
    if (node.type === "directory") fs.mkdirSync(target, { recursive: true });
    else if (node.type === "file") await writeFile(node, target);
    else if (node.type === "symlink") fs.symlinkSync(Buffer.from(toBytes(node.target)), target);
    else specials.push({ path: name, node });
  }
  await makeSpecials(specials, folder, hostPath);
  for (const { path: name, node } of visits) {
    const known = first.get(node)!;
    if (known !== name) fs.linkSync(hostPath(known), hostPath(name));
  }
  for (const [node, name] of first) fs.lchownSync(hostPath(name), node.uid, node.gid);
  for (const [node, name] of first) if (node.type !== "symlink") fs.chmodSync(hostPath(name), node.mode);
  setXattrs(first, folder);
  // From the leaves up: a folder's time changes with its entries.
  for (const [node, name] of [...first].reverse()) {
    fs.lutimesSync(hostPath(name), node.mtime.seconds, node.mtime.seconds);
  }
}

async function writeFile(node: RegularFile, target: Buffer): Promise<void> {
  const { size, data = [{ start: 0, end: size }] } = node.content;
  const fd = fs.openSync(target, "wx");
  fs.ftruncateSync(fd, size);
  const reader = await node.content.open();
  for (const { start, end } of data) {
    for (let at = start; at < end; at += 2 ** 20) {
      const bytes = new Uint8Array(Math.min(2 ** 20, end - at));
      await reader.read(at, bytes);
      fs.writeSync(fd, bytes, 0, bytes.length, at);
    }
  }
  await reader.close();
  fs.closeSync(fd);
}

/** Programs take no names that are not UTF-8 from Node: nodes are made under plain ones and renamed. */
async function makeSpecials(
  specials: readonly { path: ByteString; node: Node }[],
  folder: string,
  hostPath: (name: ByteString) => Buffer,
): Promise<void> {
  if (specials.length === 0) return;
  const workshop = fs.mkdtempSync(path.join(path.dirname(folder), "specials-"));
  const commands = specials.map(({ node }, i) => {
    if (node.type === "fifo") return `mknod ${i} p`;
    if (node.type !== "block" && node.type !== "character") return "";
    return `mknod ${i} ${node.type === "block" ? "b" : "c"} ${node.major} ${node.minor}`;
  });
  run("sh", ["-e"], { cwd: workshop, input: Buffer.from(commands.join("\n")) });
  for (const [i, { path: name, node }] of specials.entries()) {
    const made = path.join(workshop, `${i}`);
    const server = node.type === "socket" ? net.createServer() : undefined;
    if (server) await new Promise<void>((resolve) => server.listen(made, resolve));
    fs.renameSync(made, hostPath(name));
    server?.close();
  }
  fs.rmdirSync(workshop);
}

function setXattrs(nodes: ReadonlyMap<Node, ByteString>, folder: string): void {
  const quote = (bytes: Uint8Array) => Array.from(bytes, (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const blocks: string[] = [];
  for (const [node, name] of nodes) {
    if (node.xattrs.size === 0) continue;
    const values = [...node.xattrs].map(([key, value]) => `${key}=0x${Buffer.from(value).toString("hex")}`);
    blocks.push([`# file: ${quote(toBytes(fromText(`${folder}/`)))}${quote(toBytes(name))}`, ...values, ""].join("\n"));
  }
  if (blocks.length > 0) run("setfattr", ["-h", "--restore=-"], { input: Buffer.from(blocks.join("\n"), "latin1") });
}

/** Makes of each further name of a symlink another one: neither mke2fs nor mksquashfs keeps that they are the same. */
export function separateSymlinks(tree: Tree): void {
  const seen = new Set<Node>();
  for (const { node } of walk(tree)) {
    if (node.type !== "directory") continue;
    for (const [name, child] of node.entries) {
      if (child.type === "symlink" && seen.has(child)) node.entries.set(name, { ...child });
      seen.add(child);
    }
  }
}
