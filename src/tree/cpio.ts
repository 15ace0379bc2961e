/** The header of cpio's "new ASCII" format. Linux Documentation/driver-api/early-userspace/buffer-format.rst, "cpio_header". */
import { ascii, type FieldType, struct } from "../bytes/struct.js";

/** An unsigned 32-bit number as eight hexadecimal digits, as these headers hold every number. */
const hex8: FieldType<number> = {
  size: 8,
  zero: 0,
  get: (view, at) => Number.parseInt(ascii(8).get(view, at), 16),
  set(view, at, value) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
      throw new RangeError(`${value} is not an unsigned 32-bit integer`);
    }
    ascii(8).set(view, at, value.toString(16).padStart(8, "0"));
  },
};

const cpioHeader = struct("cpio_header", 110, {
  magic: [0, ascii(6)],
  inode: [6, hex8],
  mode: [14, hex8],
  uid: [22, hex8],
  gid: [30, hex8],
  links: [38, hex8],
  mtime: [46, hex8],
  fileSize: [54, hex8],
  major: [62, hex8],
  minor: [70, hex8],
  deviceMajor: [78, hex8],
  deviceMinor: [86, hex8],
  nameSize: [94, hex8],
  checksum: [102, hex8],
});

/** Every number has to be written: a field of NULs is not a number in this format. */
const ZEROS = {
  magic: "070701",
  ...{ inode: 0, mode: 0, uid: 0, gid: 0, links: 1, mtime: 0, fileSize: 0, major: 0, minor: 0 },
  ...{ deviceMajor: 0, deviceMinor: 0, nameSize: 0, checksum: 0 },
};

export interface CpioFields {
  readonly inode: number;
  /** With the bits for the type. */
  readonly mode: number;
  readonly links: number;
  readonly mtime: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Below 4 GiB. */
  readonly fileSize: number;
}

/** The name of the member that ends an archive. */
export const CPIO_END = "TRAILER!!!";

/** A member's header and name, padded as the format wants them in front of the content; that has to be padded to 4 bytes too. */
export function cpioMemberHeader(path: string, fields: Partial<CpioFields>): Uint8Array {
  const name = Buffer.from(`${path}\0`, "latin1");
  const head = cpioHeader.encode({ ...ZEROS, ...fields, nameSize: name.length });
  return Buffer.concat([head, name, new Uint8Array(-(head.length + name.length) & 3)]);
}
