/**
 * Extended attributes: in the inode where they fit, else in a block, which inodes with equal attributes share. Linux
 * Documentation/filesystems/ext4, "Extended Attributes".
 */
import { type ByteString, compareBytes, display, fromBytes, toBytes } from "../bytes/bytestring.js";
import { crc32c } from "../bytes/checksum.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { encodeAcl } from "./acl.js";
import { type ChecksumSeed, xattrBlockSeed } from "./checksum.js";
import type { Format } from "./format.js";
import { inode, MAX_NAME, MAX_XATTR_SHARES, XATTR_MAGIC, xattrEntry, xattrHeader } from "./layout.js";

/** e_name_index. The first that a name begins with counts. */
const PREFIXES: readonly (readonly [prefix: string, index: number])[] = [
  ["system.posix_acl_access", 2],
  ["system.posix_acl_default", 3],
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
  ["system.", 7],
];

interface Attribute {
  readonly index: number;
  /** Without the prefix. */
  readonly name: ByteString;
  readonly value: Uint8Array;
}

/** A block of attributes. */
export interface XattrBlock {
  readonly attributes: readonly Attribute[];
  /** How many inodes have it. */
  users: number;
  /** Where it is, once it was written. */
  at?: number;
}

export interface XattrPlacement {
  /** For the end of the inode. */
  readonly body?: Uint8Array;
  readonly block?: XattrBlock;
}

/** In the inode a magic number alone stands before the entries. */
const BODY_HEADER_SIZE = 4;
/** Four zero bytes end the list of entries. */
const END_SIZE = 4;

function attributeSize({ name, value }: Attribute): number {
  return alignUp(xattrEntry.size + name.length, 4) + alignUp(value.length, 4);
}

function attributesSize(attributes: readonly Attribute[]): number {
  return attributes.reduce((sum, attribute) => sum + attributeSize(attribute), END_SIZE);
}

/** In the order in which the kernel searches a block: by index, length of the name, name. */
function parseAttributes(xattrs: ReadonlyMap<ByteString, Uint8Array>, path: ByteString): Attribute[] {
  return [...xattrs]
    .map(([fullName, value]): Attribute => {
      const prefix = PREFIXES.find(([start]) => fullName.startsWith(start));
      const name = fullName.slice(prefix?.[0].length) as ByteString;
      const isAcl = prefix?.[1] === 2 || prefix?.[1] === 3;
      if (prefix === undefined || (name === "") !== isAcl || name.length > MAX_NAME) {
        throw new ImgbuildError(
          "not-representable",
          `ext4 cannot hold the extended attribute ${display(fullName)} of /${display(path)}`,
          { hint: "Names begin with user., trusted., security. or system. and have at most 255 bytes after that." },
        );
      }
      return { index: prefix[1], name, value: isAcl ? encodeAcl(value, `/${display(path)}`) : value };
    })
    .sort((a, b) => a.index - b.index || a.name.length - b.name.length || compareBytes(a.name, b.name));
}

/** e_hash. The kernel does not check it, e2fsck does. Names are unsigned bytes, as since Linux 6.2. */
function attributeHash({ name, value }: Attribute): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (hash << 5) ^ (hash >>> 27) ^ name.charCodeAt(i);
  const padded = new Uint8Array(alignUp(value.length, 4));
  padded.set(value);
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 4) hash = (hash << 16) ^ (hash >>> 16) ^ view.getUint32(at, true);
  return hash >>> 0;
}

/** Entries from `start` up, values from the end down. Offsets of values count from `base`. */
function encodeAttributes(attributes: readonly Attribute[], into: Uint8Array, start: number, base: number): void {
  let at = start;
  let end = into.length;
  for (const attribute of attributes) {
    const { index, name, value } = attribute;
    end -= alignUp(value.length, 4);
    xattrEntry.write(into, at, {
      nameLength: name.length,
      nameIndex: index,
      valueOffset: value.length === 0 ? 0 : end - base,
      valueSize: value.length,
      hash: attributeHash(attribute),
    });
    into.set(toBytes(name), at + xattrEntry.size);
    into.set(value, end);
    at += alignUp(xattrEntry.size + name.length, 4);
  }
}

function encodeBody(attributes: readonly Attribute[], size: number): Uint8Array {
  const body = new Uint8Array(size);
  new DataView(body.buffer).setUint32(0, XATTR_MAGIC, true);
  encodeAttributes(attributes, body, BODY_HEADER_SIZE, BODY_HEADER_SIZE);
  return body;
}

/** The bytes of a block that goes to block `at` of the file system with the checksum seed `seed`. */
export function encodeXattrBlock(block: XattrBlock, blockSize: number, at: number, seed: ChecksumSeed): Uint8Array {
  const bytes = new Uint8Array(blockSize);
  encodeAttributes(block.attributes, bytes, xattrHeader.size, 0);
  const hash = block.attributes.reduce((sum, one) => (sum << 16) ^ (sum >>> 16) ^ attributeHash(one), 0) >>> 0;
  const header = { magic: XATTR_MAGIC, references: block.users, blocks: 1, hash };
  xattrHeader.write(bytes, 0, header);
  if (seed !== undefined) {
    const checksum = crc32c(bytes, xattrBlockSeed(seed, at));
    xattrHeader.write(bytes, 0, { ...header, checksum });
  }
  return bytes;
}

/** Decides where attributes go, and knows which blocks were needed before. */
export class XattrStore {
  readonly #format: Format;
  readonly #blocks = new Map<string, XattrBlock>();
  /** How many blocks there are. */
  blocks = 0;

  constructor(format: Format) {
    this.#format = format;
  }

  /**
   * Throws a `not-representable` error that names `path` when attributes do not fit into the inode and a block, or when the
   * file system has none.
   */
  place(xattrs: ReadonlyMap<ByteString, Uint8Array>, path: ByteString): XattrPlacement {
    if (xattrs.size === 0) return {};
    const { blockSize, inodeSize, features } = this.#format;
    if (!features.has("ext_attr")) {
      throw new ImgbuildError(
        "not-representable",
        `an ext4 file system without the feature ext_attr cannot hold the extended attributes of /${display(path)}`,
        { hint: "Switch ext_attr on, or leave the attributes out." },
      );
    }
    const all = parseAttributes(xattrs, path);
    const bodySize = Math.max(inodeSize - inode.offsets.xattrs, 0);
    const inBody = Math.max(bodySize - BODY_HEADER_SIZE, 0);
    const inBlock = blockSize - xattrHeader.size;
    if (attributesSize(all) <= inBody) return { body: encodeBody(all, bodySize) };
    // All into the block, though some would fit into the inode: equal sets can then be shared.
    if (attributesSize(all) <= inBlock) return { block: this.#share(all) };

    const body: Attribute[] = [];
    for (const attribute of all.toSorted((a, b) => attributeSize(b) - attributeSize(a))) {
      if (attributesSize([...body, attribute]) <= inBody) body.push(attribute);
    }
    const rest = all.filter((attribute) => !body.includes(attribute));
    if (attributesSize(rest) > inBlock) {
      throw new ImgbuildError(
        "not-representable",
        `the extended attributes of /${display(path)} take ${attributesSize(all)} bytes; ext4 has room for ${inBody} in the inode and ${inBlock} in a block`,
        { hint: "Remove attributes, or use larger blocks." },
      );
    }
    return { ...(body.length > 0 && { body: encodeBody(body, bodySize) }), block: this.#share(rest) };
  }

  #share(attributes: readonly Attribute[]): XattrBlock {
    const key = JSON.stringify(attributes.map(({ index, name, value }) => [index, name, fromBytes(value)]));
    let block = this.#blocks.get(key);
    if (block === undefined || block.users === MAX_XATTR_SHARES) {
      block = { attributes, users: 0 };
      this.#blocks.set(key, block);
      this.blocks++;
    }
    block.users++;
    return block;
  }
}
