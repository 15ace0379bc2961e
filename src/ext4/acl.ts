/**
 * POSIX access control lists: the tree has them as the kernel's system calls do (version 2, every entry with an id), ext4
 * keeps them in a shorter form (version 1, an id only where it means something). Linux posix_acl_xattr.h, fs/ext4/acl.h.
 */
import { ImgbuildError } from "../errors.js";

const CALL_VERSION = 2;
const CALL_ENTRY = 8;
const DISK_VERSION = 1;
const TAG = { userObject: 0x01, user: 0x02, groupObject: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const TAGS: ReadonlySet<number> = new Set(Object.values(TAG));

/** ext4's form of the ACL `value`. Throws a `source-invalid` error, which names `path`, when it is none. */
export function encodeAcl(value: Uint8Array, path: string): Uint8Array {
  const from = new DataView(value.buffer, value.byteOffset, value.length);
  const count = (value.length - 4) / CALL_ENTRY;
  const invalid = (what: string) => new ImgbuildError("source-invalid", `the ACL of ${path} ${what}`);
  if (!Number.isInteger(count) || count < 0) throw invalid(`has a length of ${value.length} bytes`);
  if (from.getUint32(0, true) !== CALL_VERSION) throw invalid(`is of version ${from.getUint32(0, true)}, not 2`);

  const acl = new Uint8Array(value.length);
  const into = new DataView(acl.buffer);
  into.setUint32(0, DISK_VERSION, true);
  let length = 4;
  for (let at = 4; at < value.length; at += CALL_ENTRY) {
    const tag = from.getUint16(at, true);
    if (!TAGS.has(tag)) throw invalid(`has an entry of the unknown kind ${tag}`);
    into.setUint16(length, tag, true);
    into.setUint16(length + 2, from.getUint16(at + 2, true), true);
    length += 4;
    if (tag === TAG.user || tag === TAG.group) {
      into.setUint32(length, from.getUint32(at + 4, true), true);
      length += 4;
    }
  }
  return acl.subarray(0, length);
}
