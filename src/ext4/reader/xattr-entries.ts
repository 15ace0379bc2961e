/** Lists of extended attributes as they are stored: "Extended Attributes" in Documentation/filesystems/ext4. */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import { alignUp } from "../../bytes/size.js";
import { inode as inodeLayout, XATTR_MAGIC, xattrEntry } from "../layout.js";
import { corrupt } from "./corrupt.js";
import { BASE_INODE_SIZE, type InodeFacts } from "./inodes.js";

/** XATTR_SIZE_MAX of Linux. */
const MAX_VALUE = 65_536;

export interface StoredAttribute {
  /** What the full name begins with, as a number. */
  readonly index: number;
  readonly name: ByteString;
  readonly size: number;
  /** Undefined when it is in an inode of its own. */
  readonly value: Uint8Array | undefined;
  /** Where the value is in the image, in bytes. */
  readonly valueAt: number;
  readonly valueInode: number;
  /** Where the entry is in the image, in bytes. */
  readonly at: number;
}

/**
 * The list that begins at `start` of `bytes`, which are at byte `at` of the image. Offsets of values count from `base`.
 * `what` is there for messages.
 */
export function readAttributes(
  bytes: Uint8Array,
  { start, base, at, what }: { start: number; base: number; at: number; what: string },
): StoredAttribute[] {
  const wrong = (within: number, message: string) => corrupt(at + within, `${what} ${message}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const found: StoredAttribute[] = [];
  let position = start;
  for (;;) {
    if (position + 4 > bytes.length) throw wrong(start, "do not end");
    if (view.getUint32(position, true) === 0) break;
    if (position + xattrEntry.size > bytes.length) throw wrong(position, "do not end");
    const entry = xattrEntry.read(bytes, position);
    const next = position + alignUp(xattrEntry.size + entry.nameLength, 4);
    if (next > bytes.length) throw wrong(position, "do not end");
    const nameAt = position + xattrEntry.size;
    const name = fromBytes(bytes.subarray(nameAt, nameAt + entry.nameLength));
    if (name.includes("\0")) throw wrong(nameAt, "have a name with a NUL in it");
    const inline = entry.valueInode === 0;
    const from = base + entry.valueOffset;
    if (entry.valueSize > MAX_VALUE || (inline && entry.valueSize > 0 && from + entry.valueSize > bytes.length)) {
      throw wrong(position, `have a value of ${entry.valueSize} bytes where there is no room for it`);
    }
    found.push({
      index: entry.nameIndex,
      name,
      size: entry.valueSize,
      value: inline ? bytes.slice(from, from + entry.valueSize) : undefined,
      valueAt: at + from,
      valueInode: entry.valueInode,
      at: at + position,
    });
    position = next;
  }
  let end = at + position + 4;
  let message = "a value that is within their list";
  // One value for many would take much memory for little: the kernel writes none such, and e2fsck takes them for damage.
  const values = found.filter(({ size, value }) => value !== undefined && size > 0);
  for (const { size, valueAt, at: entryAt } of values.sort((a, b) => a.valueAt - b.valueAt)) {
    if (valueAt < end) throw corrupt(entryAt, `${what} have ${message}`);
    end = valueAt + size;
    message = "values that overlap";
  }
  return found;
}

/** The attributes in the inode itself, behind its fields. */
export function attributesInInode({ number, at, stored }: InodeFacts): StoredAttribute[] {
  const { bytes, extraSize } = stored;
  const start = BASE_INODE_SIZE + extraSize;
  if (bytes.length < inodeLayout.offsets.extraSize + 4 || extraSize === 0 || start + 4 > bytes.length) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(start, true) !== XATTR_MAGIC) return [];
  return readAttributes(bytes, {
    start: start + 4,
    base: start + 4,
    at,
    what: `the extended attributes of inode ${number}`,
  });
}
