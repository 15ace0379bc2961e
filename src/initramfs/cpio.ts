/** Writes cpio archives in the "new ASCII" format, the only one that the kernel unpacks. See the map in index.ts. */
import { cpioHeader } from "./layout.js";

/** A member of an archive. Paths are ASCII, without a leading "/"; every owner is root. */
export type CpioMember =
  | { readonly path: string; readonly type: "directory"; readonly mode: number }
  | { readonly path: string; readonly type: "file"; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly path: string; readonly type: "symlink"; readonly target: string }
  | { readonly path: string; readonly type: "character"; readonly mode: number; readonly device: [number, number] };

/** Every number has to be written: a field of NULs is not a number in this format. */
const HEADER = {
  magic: "070701",
  ...{ inode: 0, mode: 0, uid: 0, gid: 0, links: 1, mtime: 0, fileSize: 0, major: 0, minor: 0 },
  ...{ deviceMajor: 0, deviceMinor: 0, nameSize: 0, checksum: 0 },
};
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
  const appendMember = (path: string, header: Partial<typeof HEADER>, bytes: Uint8Array) => {
    const name = Buffer.from(`${path}\0`, "latin1");
    const head = cpioHeader.encode({ ...HEADER, ...header, fileSize: bytes.length, nameSize: name.length });
    append(Buffer.concat([head, name]), 4);
    append(bytes, 4);
  };
  members.forEach((member, i) => {
    const mode = TYPE_BITS[member.type] | (member.type === "symlink" ? 0o777 : member.mode);
    const links = member.type === "directory" ? 2 : 1;
    const [deviceMajor, deviceMinor] = member.type === "character" ? member.device : [0, 0];
    const bytes = member.type === "file" ? member.bytes : Buffer.from(member.type === "symlink" ? member.target : "");
    appendMember(member.path, { inode: i + 1, mode, links, mtime: time, deviceMajor, deviceMinor }, bytes);
  });
  appendMember("TRAILER!!!", {}, new Uint8Array(0));
  append(new Uint8Array(0), 512);
  return Buffer.concat(parts);
}
