/**
 * Writes a tree as a tar archive that loses nothing but sockets, for which tar has no type: ustar headers, and in front of
 * them pax headers for what ustar cannot hold. The same tree gives the same bytes. POSIX.1-2017, pax, "pax Interchange
 * Format"; extended attributes and holes as GNU tar stores them ("Storing Sparse Files", version 1.0, in its manual).
 */
import { type ByteString, fromText, toBytes } from "../../bytes/bytestring.js";
import type { Extent } from "../../bytes/extent.js";
import { alignUp } from "../../bytes/size.js";
import type { ContentReader, Node, RegularFile, Timestamp } from "../node.js";
import type { Observer } from "../observer.js";
import { type Tree, walk } from "../tree.js";
import { BLOCK, checksums, header } from "./layout.js";

/** Archives are a multiple of this, as every tar pads them. */
const RECORD = 20 * BLOCK;
/** Bytes of content that are handed on at once. */
const CHUNK = 2 ** 20;
/** Holes are told from data where they are at least so long together: a shorter file is smaller without a map. */
const LEAST_HOLES = 2 ** 16;
/** The largest numbers of seven and eleven octal digits. */
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

/** Type flags. There is none for sockets, which are left out. */
const FLAGS: Readonly<Record<Node["type"], string>> = {
  file: "0",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
  socket: "",
};
const HARD_LINK = "1";
const PAX_HEADER = "x";

/**
 * The archive in pieces, which may not be changed and are valid until the next one is asked for. Members are in byte order
 * of their paths, the root first, as "./"; names that come later for the same node are hard links. Throws what reading the
 * contents throws. The observer gets a notice when sockets are left out.
 */
export async function* writeTar(tree: Tree, observer: Observer = {}): AsyncGenerator<Uint8Array> {
  const firstNames = new Map<Node, ByteString>();
  let length = 0;
  let sockets = 0;
  for (const { path, node } of walk(tree)) {
    if (node.type === "socket") {
      sockets++;
      continue;
    }
    const name = memberName(path, node);
    const known = node.type === "directory" ? undefined : firstNames.get(node);
    if (known === undefined && node.type !== "directory") firstNames.set(node, name);
    for await (const piece of known === undefined ? memberOf(name, node, observer) : [hardLink(name, node, known)]) {
      length += piece.length;
      yield piece;
    }
  }
  if (sockets > 0) observer.notice?.(`${sockets} socket${sockets === 1 ? " is" : "s are"} left out: tar has none`);
  const end = length + 2 * BLOCK;
  yield new Uint8Array(alignUp(end, RECORD) - length);
}

const memberName = (path: ByteString, { type }: Node): ByteString =>
  `./${path}${type === "directory" && path !== "" ? "/" : ""}` as ByteString;

async function* memberOf(name: ByteString, node: Node, observer: Observer): AsyncGenerator<Uint8Array> {
  const extents = node.type === "file" ? sparseExtents(node) : undefined;
  const map = extents === undefined ? undefined : sparseMap(extents);
  const size = node.type !== "file" ? 0 : extents === undefined ? node.content.size : map!.length + bytesOf(extents);
  yield headers({ name, node, size, flag: FLAGS[node.type], realSize: map && (node as RegularFile).content.size });
  if (node.type !== "file") return;
  if (map !== undefined) yield map;
  const { content } = node;
  if (content.size > 0) {
    const reader = await content.open();
    try {
      for (const extent of extents ?? [{ start: 0, end: content.size }]) yield* dataOf(reader, extent, observer);
    } finally {
      await reader.close();
    }
  }
  if (size % BLOCK !== 0) yield new Uint8Array(BLOCK - (size % BLOCK));
  observer.progress?.(0, 1);
}

async function* dataOf(reader: ContentReader, { start, end }: Extent, observer: Observer): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end; at += CHUNK) {
    const piece = new Uint8Array(Math.min(CHUNK, end - at));
    await reader.read(at, piece);
    observer.progress?.(piece.length, 0);
    yield piece;
  }
}

const bytesOf = (extents: readonly Extent[]) => extents.reduce((sum, { start, end }) => sum + end - start, 0);

/**
 * Where data is in a file whose holes are worth a map; undefined for all others. In whole blocks: GNU tar pads each extent
 * to one. An empty one at the file's end says where that is.
 */
function sparseExtents({ content: { size, data } }: RegularFile): readonly Extent[] | undefined {
  if (data === undefined || size - bytesOf(data) < LEAST_HOLES) return undefined;
  const extents: { start: number; end: number }[] = [];
  for (const extent of data) {
    const start = Math.floor(extent.start / BLOCK) * BLOCK;
    const end = Math.min(alignUp(extent.end, BLOCK), size);
    const last = extents.at(-1);
    if (last !== undefined && start <= last.end) last.end = end;
    else extents.push({ start, end });
  }
  if (extents.at(-1)?.end !== size) extents.push({ start: size, end: size });
  return extents;
}

/** Decimal numbers, one a line: how many extents there are, offset and length of each. */
function sparseMap(extents: readonly Extent[]): Uint8Array {
  const lines = [extents.length, ...extents.flatMap(({ start, end }) => [start, end - start])];
  return padded(toBytes(fromText(lines.map((line) => `${line}\n`).join(""))));
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(alignUp(bytes.length, BLOCK));
  whole.set(bytes);
  return whole;
}

interface Member {
  readonly name: ByteString;
  readonly node: Node;
  readonly flag: string;
  /** Of what follows the header. */
  readonly size: number;
  readonly linkName?: ByteString;
  /** Of a file with a map of its holes. */
  readonly realSize?: number | undefined;
}

function hardLink(name: ByteString, node: Node, linkName: ByteString): Uint8Array {
  return headers({ name, node, size: 0, flag: HARD_LINK, linkName });
}

/** The header of a member, behind a pax header where it needs one. */
function headers(member: Member): Uint8Array {
  const { node, size, flag, realSize } = member;
  const linkName = member.linkName ?? (node.type === "symlink" ? node.target : ("" as ByteString));
  const records = new PaxRecords();
  // With a map, the name in the header is one for programs that do not know it: they extract map and data.
  const name = realSize === undefined ? member.name : (`./GNUSparseFile.0/${lastName(member.name)}` as ByteString);
  const fields = splitName(name);
  if (realSize !== undefined) {
    records.add("GNU.sparse.major", "1");
    records.add("GNU.sparse.minor", "0");
    records.add("GNU.sparse.name", member.name);
    records.add("GNU.sparse.realsize", `${realSize}`);
  } else if (fields === undefined) records.add("path", name);
  if (linkName.length > 100) records.add("linkpath", linkName);
  if (size > MAX_OCTAL_11) records.add("size", `${size}`);
  if (node.uid > MAX_OCTAL_7) records.add("uid", `${node.uid}`);
  if (node.gid > MAX_OCTAL_7) records.add("gid", `${node.gid}`);
  const { seconds, nanoseconds } = node.mtime;
  if (nanoseconds !== 0 || seconds < 0 || seconds > MAX_OCTAL_11) records.add("mtime", timeText(node.mtime));
  if (flag !== HARD_LINK) {
    // GNU tar escapes what would end the key (xheader.c, xattr_encode_keyword).
    for (const [key, value] of [...node.xattrs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      records.add(`SCHILY.xattr.${key.replace(/%/g, "%25").replace(/=/g, "%3D")}`, value);
    }
  }
  const common = {
    mode: octal(node.mode, 7),
    uid: octal(Math.min(node.uid, MAX_OCTAL_7), 7),
    gid: octal(Math.min(node.gid, MAX_OCTAL_7), 7),
    mtime: octal(Math.min(Math.max(seconds, 0), MAX_OCTAL_11), 11),
  };
  const device = node.type === "block" || node.type === "character" ? node : { major: 0, minor: 0 };
  const own = block({
    ...common,
    ...(fields ?? { name: cut(name), prefix: NONE }),
    size: octal(Math.min(size, MAX_OCTAL_11), 11),
    type: flag,
    linkName: cut(linkName),
    deviceMajor: octal(device.major, 7),
    deviceMinor: octal(device.minor, 7),
  });
  const extension = records.bytes();
  if (extension.length === 0) return own;
  const paxName = cut(`./PaxHeaders/${lastName(member.name)}` as ByteString);
  const nothing = octal(0, 7);
  const pax = block({
    ...{ ...common, mode: octal(0o644, 7), name: paxName, prefix: NONE, linkName: NONE },
    ...{ size: octal(extension.length, 11), type: PAX_HEADER, deviceMajor: nothing, deviceMinor: nothing },
  });
  const all = new Uint8Array(2 * BLOCK + alignUp(extension.length, BLOCK));
  all.set(pax);
  all.set(extension, BLOCK);
  all.set(own, all.length - BLOCK);
  return all;
}

const NONE = new Uint8Array(0);
const text = (characters: string) => toBytes(characters as ByteString);
const octal = (value: number, digits: number) => text(value.toString(8).padStart(digits, "0"));
/** What fits into a field of 100 bytes: the whole of it is in a pax record then. */
const cut = (name: ByteString) => toBytes(name.slice(0, 100) as ByteString);
const lastName = (name: ByteString) => /[^/]*\/?$/.exec(name)![0];

/** A name in the header's two fields, which a slash that is not stored joins; undefined for one that does not fit. */
function splitName(name: ByteString): { name: Uint8Array; prefix: Uint8Array } | undefined {
  if (name.length <= 100) return { name: toBytes(name), prefix: NONE };
  // The first slash that leaves 100 bytes or less, but not the one at a folder's end.
  const slash = name.indexOf("/", name.length - 101);
  if (slash < 1 || slash > 155 || slash === name.length - 1) return undefined;
  return {
    name: toBytes(name.slice(slash + 1) as ByteString),
    prefix: toBytes(name.slice(0, slash) as ByteString),
  };
}

type Fields = Record<
  "name" | "mode" | "uid" | "gid" | "size" | "mtime" | "linkName" | "deviceMajor" | "deviceMinor" | "prefix",
  Uint8Array
>;

function block(fields: Fields & { type: string }): Uint8Array {
  const bytes = new Uint8Array(BLOCK);
  for (const [field, value] of Object.entries(fields)) {
    if (typeof value !== "string") bytes.set(value, header.offsets[field as keyof Fields]);
  }
  bytes[header.offsets.type] = fields.type.charCodeAt(0);
  // The magic and its version, "00".
  bytes.set(text("ustar\0" + "00"), header.offsets.magic);
  bytes.set(text(`${checksums(bytes).unsigned.toString(8).padStart(6, "0")}\0 `), header.offsets.checksum);
  return bytes;
}

/** Seconds with as many decimals as they need. */
function timeText({ seconds, nanoseconds }: Timestamp): string {
  if (nanoseconds === 0) return `${seconds}`;
  // Nanoseconds always count upwards: -2 s and 750,000,000 ns is -1.25 s.
  const [whole, part] = seconds < 0 ? [-(seconds + 1), 1_000_000_000 - nanoseconds] : [seconds, nanoseconds];
  return `${seconds < 0 ? "-" : ""}${whole}.${String(part).padStart(9, "0").replace(/0+$/, "")}`;
}

/** "LENGTH KEY=VALUE\n", where LENGTH counts all of it, itself included. Values are bytes. */
class PaxRecords {
  readonly #records: Uint8Array[] = [];

  add(key: string, value: string | Uint8Array): void {
    const bytes = typeof value === "string" ? text(value) : value;
    const rest = key.length + bytes.length + " =\n".length;
    let length = rest + `${rest}`.length;
    if (`${length}`.length > `${rest}`.length) length = rest + `${length}`.length;
    const record = new Uint8Array(length);
    const head = text(`${length} ${key}=`);
    record.set(head);
    record.set(bytes, head.length);
    record[length - 1] = 0x0a;
    this.#records.push(record);
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#records.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const record of this.#records) {
      all.set(record, at);
      at += record.length;
    }
    return all;
  }
}
