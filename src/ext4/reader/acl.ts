/**
 * POSIX access control lists: the form that ext4 stores (version 1, ids only where they mean something) made the one of the
 * kernel's system calls (version 2), as trees have it. Linux fs/ext4/acl.h and posix_acl_xattr.h.
 */
import { corrupt } from "./corrupt.js";

const DISK_VERSION = 1;
const CALL_VERSION = 2;
const CALL_ENTRY = 8;
const NO_ID = 0xffffffff;
/** Tags of entries, and whether they have an id. */
const HAS_ID = new Map([
  [0x01, false],
  [0x02, true],
  [0x04, false],
  [0x08, true],
  [0x10, false],
  [0x20, false],
]);

/** `stored`, which is at byte `at` of the image, in the other form. */
export function decodeAcl(stored: Uint8Array, at: number): Uint8Array {
  const from = new DataView(stored.buffer, stored.byteOffset, stored.length);
  if (stored.length < 4 || from.getUint32(0, true) !== DISK_VERSION) throw corrupt(at, "an ACL is not of version 1");
  const acl = new Uint8Array(4 + 2 * (stored.length - 4));
  const into = new DataView(acl.buffer);
  into.setUint32(0, CALL_VERSION, true);
  let length = 4;
  for (let position = 4; position < stored.length; length += CALL_ENTRY) {
    const hasId = position + 4 <= stored.length ? HAS_ID.get(from.getUint16(position, true)) : undefined;
    const end = position + (hasId ? 8 : 4);
    if (hasId === undefined || end > stored.length) throw corrupt(at + position, "an ACL has an entry that is none");
    into.setUint32(length, from.getUint32(position, true), true);
    into.setUint32(length + 4, hasId ? from.getUint32(position + 4, true) : NO_ID, true);
    position = end;
  }
  return acl.subarray(0, length);
}
