/** Writes cpio archives in the "new ASCII" format, the only one that the kernel unpacks. See the map in index.ts. */
import { CPIO_END, type CpioFields, cpioMemberHeader } from "../tree/cpio.js";

/** A member of an archive. Paths are ASCII, without a leading "/"; every owner is root. */
export type CpioMember =
  | { readonly path: string; readonly type: "directory"; readonly mode: number }
  | { readonly path: string; readonly type: "file"; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly path: string; readonly type: "symlink"; readonly target: string }
  | { readonly path: string; readonly type: "character"; readonly mode: number; readonly device: [number, number] };

const TYPE_BITS = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 } as const;

/**
 * The archive's bytes, padded to 512 as cpio(1) does. `mtime` in seconds since 1970 is that of every member; the
 * format has 32 bits for it, and what is outside becomes the nearest. Folders have to come before what is in them: the kernel makes none by itself.
 */
export function writeCpio(members: readonly CpioMember[], mtime: number): Uint8Array {
  const time = Math.min(Math.max(mtime, 0), 2 ** 32 - 1);
  const parts: Uint8Array[] = [];
  let length = 0;
  const append = (bytes: Uint8Array, align: number) => {
    const padding = -(length + bytes.length) & (align - 1);
    parts.push(bytes, new Uint8Array(padding));
    length += bytes.length + padding;
  };
  const appendMember = (path: string, fields: Partial<CpioFields>, bytes: Uint8Array) => {
    append(cpioMemberHeader(path, { ...fields, fileSize: bytes.length }), 4);
    append(bytes, 4);
  };
  members.forEach((member, i) => {
    const mode = TYPE_BITS[member.type] | (member.type === "symlink" ? 0o777 : member.mode);
    const links = member.type === "directory" ? 2 : 1;
    const [deviceMajor, deviceMinor] = member.type === "character" ? member.device : [0, 0];
    const bytes = member.type === "file" ? member.bytes : Buffer.from(member.type === "symlink" ? member.target : "");
    appendMember(member.path, { inode: i + 1, mode, links, mtime: time, deviceMajor, deviceMinor }, bytes);
  });
  appendMember(CPIO_END, {}, new Uint8Array(0));
  append(new Uint8Array(0), 512);
  return Buffer.concat(parts);
}
