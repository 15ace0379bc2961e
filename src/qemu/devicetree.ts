/**
 * The one change that a board's device tree needs before the board's image boots on another machine of its SoC: a
 * controller that the board does not use, and the machine does, is enabled.
 *
 * Devicetree Specification 0.4, chapter 5 "Flattened Devicetree (DTB) Format":
 *
 *   | part | holds |
 *   |---|---|
 *   | header | where the blocks below are |
 *   | memory reservation block | not looked at |
 *   | structure block | big-endian tokens: a node begins with its name, then its properties, then its children |
 *   | strings block | the names of properties |
 */
import { be32, struct } from "../bytes/struct.js";
import { ImgbuildError } from "../errors.js";

/** 5.2 "Header". */
const header = struct("fdt_header", 40, {
  magic: [0, be32],
  totalSize: [4, be32],
  structOffset: [8, be32],
  stringsOffset: [12, be32],
  reservationsOffset: [16, be32],
  version: [20, be32],
  lastCompatibleVersion: [24, be32],
  bootCpu: [28, be32],
  stringsSize: [32, be32],
  structSize: [36, be32],
});
const MAGIC = 0xd00dfeed;

/** 5.4.1 "Lexical structure": the tokens. */
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROPERTY = 3;
const NOP = 4;
const END = 9;

/** What follows FDT_PROP: the value's length, and where its name is in the strings block. The value comes next. */
const property = struct("fdt_property", 8, { length: [0, be32], nameOffset: [4, be32] });

interface Property {
  /** Path of the node that has it, "/" for the root. */
  readonly node: string;
  readonly name: string;
  /** Where its length and name are, in bytes from the start of the tree. */
  readonly at: number;
  /** Where its value is. */
  readonly value: number;
  readonly length: number;
}

const aligned = (offset: number) => Math.ceil(offset / 4) * 4;
const invalid = (reason: string) =>
  new ImgbuildError("source-invalid", `not a device tree that can be read: ${reason}`);

function text(tree: Uint8Array, at: number): string {
  const end = tree.indexOf(0, at);
  if (end < 0) throw invalid(`the name at byte ${at} has no end`);
  return Buffer.from(tree.buffer, tree.byteOffset + at, end - at).toString("latin1");
}

/** Every node, as its path, and every property, in the order of the structure block. */
function* walk(tree: Uint8Array): Generator<string | Property> {
  const { magic, structOffset, stringsOffset } = header.read(tree);
  if (magic !== MAGIC) throw invalid(`it begins with 0x${magic.toString(16)}, not with 0x${MAGIC.toString(16)}`);
  const view = new DataView(tree.buffer, tree.byteOffset, tree.byteLength);
  const path: string[] = [];
  for (let at = structOffset; ; ) {
    const token = be32.get(view, at);
    at += 4;
    if (token === BEGIN_NODE) {
      const name = text(tree, at);
      at = aligned(at + name.length + 1);
      path.push(name);
      yield path.join("/") || "/";
    } else if (token === END_NODE) {
      path.pop();
    } else if (token === PROPERTY) {
      const { length, nameOffset } = property.read(tree, at);
      const value = at + property.size;
      yield { node: path.join("/") || "/", name: text(tree, stringsOffset + nameOffset), at, value, length };
      at = aligned(value + length);
    } else if (token === END) {
      return;
    } else if (token !== NOP) {
      throw invalid(`token ${token} at byte ${at - 4}`);
    }
  }
}

/** Whether `node`, a path, is at `address`, the number after the @ in the last part of its name. */
function isAt(node: string, address: string): boolean {
  const unit = /@([0-9a-f]+)$/i.exec(node)?.[1];
  return unit !== undefined && Number.parseInt(unit, 16) === Number.parseInt(address, 16);
}

/**
 * A copy of the flattened device tree with one node's `status` set to "okay". `node` is its path (/soc/bus@2100000/mmc@219c000),
 * an alias (mmc3), or @ and its unit address in hexadecimal (@219c000): the first such node, however kernels name it.
 * The copy has the same size: a longer status leaves FDT_NOP behind. A node without a status is enabled as it is
 * (Devicetree Specification, 2.3.4).
 *
 * Throws "source-invalid" when the bytes are no device tree, or it has no such node.
 */
export function enableNode(tree: Uint8Array, node: string): Uint8Array {
  const copy = new Uint8Array(tree);
  try {
    const nodes: string[] = [];
    const properties: Property[] = [];
    for (const found of walk(copy)) typeof found === "string" ? nodes.push(found) : properties.push(found);
    const alias = properties.find((found) => found.node === "/aliases" && found.name === node);
    const path = alias ? text(copy, alias.value) : node;
    const target = nodes.find((name) => (path.startsWith("@") ? isAt(name, path.slice(1)) : name === path));
    if (target === undefined) {
      throw new ImgbuildError("source-invalid", `the device tree has no node ${node}`, {
        hint: "Name it by its path, by an alias, or by @ and its unit address.",
      });
    }
    const status = properties.find((found) => found.node === target && found.name === "status");
    if (status !== undefined) setOkay(copy, status);
    return copy;
  } catch (error) {
    if (error instanceof RangeError) throw invalid("it ends early");
    throw error;
  }
}

const OKAY = new TextEncoder().encode("okay\0");

function setOkay(tree: Uint8Array, status: Property): void {
  // "ok" is the only shorter value in use, and means the same.
  if (status.length < OKAY.length) return;
  const view = new DataView(tree.buffer);
  const end = aligned(status.value + status.length);
  be32.set(view, status.at, OKAY.length);
  tree.fill(0, status.value, end);
  tree.set(OKAY, status.value);
  for (let at = aligned(status.value + OKAY.length); at < end; at += 4) be32.set(view, at, NOP);
}
