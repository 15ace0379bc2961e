/** The superblock: checked in itself and against the device before anything else is read. */
import type { ReadableDevice } from "../../bytes/device.js";
import type { StructValues } from "../../bytes/struct.js";
import { ImgbuildError } from "../../errors.js";
import { MAGIC, NO_TABLE, superblock, VERSION_MAJOR, VERSION_MINOR } from "../layout.js";
import { corrupt, readStruct } from "./corrupt.js";
import { recognise } from "./recognise.js";

export const MIN_BLOCK_LOG = 12;
export const MAX_BLOCK_LOG = 20;

/** MAGIC as big-endian versions 1 to 3 have it, and with the letters that vendors' LZMA variants swapped. */
const OTHER_MAGICS: ReadonlyMap<number, string> = new Map([
  [0x68737173, "is a big-endian one, of a version before 4"],
  [0x71736873, "is a vendor's variant with LZMA"],
  [0x73687371, "is a vendor's variant with LZMA"],
]);

/** As on disk, with tables that are not there as undefined. Positions and lengths are bytes of the image. */
export interface Superblock
  extends Omit<StructValues<typeof superblock>, "xattrTable" | "fragmentTable" | "exportTable"> {
  readonly fragmentTable: number | undefined;
  readonly exportTable: number | undefined;
  readonly xattrTable: number | undefined;
}

/**
 * Reads and checks it. Throws `source-unsupported` for another version of the format, and `image-corrupt` for what is no
 * SquashFS image, for one that was cut short, and for one whose facts contradict each other.
 */
export async function readSuperblock(device: ReadableDevice): Promise<Superblock> {
  const bytes = await device.read(0, Math.min(superblock.size, device.size));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = bytes.length < 4 ? undefined : view.getUint32(0, true);
  const other = OTHER_MAGICS.get(magic ?? 0);
  if (other !== undefined) throw unsupported(`this SquashFS image ${other}`);
  if (magic !== MAGIC) {
    const what = await recognise(device);
    throw corrupt(0, `this is no SquashFS image${what === undefined ? "" : `, but ${what}`}`);
  }
  if (bytes.length < superblock.size) {
    throw corrupt(device.size, `the image is cut short: its superblock alone takes ${superblock.size} bytes`);
  }
  const major = view.getUint16(superblock.offsets.major, true);
  const minor = view.getUint16(superblock.offsets.minor, true);
  if (major !== VERSION_MAJOR || minor !== VERSION_MINOR) {
    throw unsupported(`this SquashFS image is of version ${major}.${minor}`);
  }
  const raw = readStruct(superblock, bytes, (message) => corrupt(0, message));
  const table = (position: bigint) => (position === NO_TABLE ? undefined : Number(position));
  const block: Superblock = {
    ...raw,
    // Without fragments some writers point to where the table would be, others nowhere.
    fragmentTable: raw.fragments === 0 ? undefined : Number(raw.fragmentTable),
    exportTable: table(raw.exportTable),
    xattrTable: table(raw.xattrTable),
  };
  check(block, device);
  return block;
}

function unsupported(message: string): ImgbuildError {
  return new ImgbuildError("source-unsupported", `${message}; only version 4.0 can be read`, {
    hint: "Extract it with the tools it was made with, and make a new image of its files.",
  });
}

/** Throws for the first field that cannot be true. */
function check(block: Superblock, device: ReadableDevice): void {
  const { blockLog, blockSize, bytesUsed, inodes, ids } = block;
  const wrong = (field: keyof typeof superblock.offsets, message: string) =>
    corrupt(superblock.offsets[field], `the superblock says that ${message}`);
  if (blockLog < MIN_BLOCK_LOG || blockLog > MAX_BLOCK_LOG || blockSize !== 2 ** blockLog) {
    throw wrong("blockSize", `blocks have ${blockSize} bytes, and that this is two to the power of ${blockLog}`);
  }
  if (bytesUsed > device.size) {
    throw corrupt(device.size, `the image is cut short: it should have ${bytesUsed} bytes, and has ${device.size}`);
  }
  if (inodes === 0) throw wrong("inodes", "there are no inodes, not even the root's");
  if (ids === 0) throw wrong("ids", "there are no user and group ids, not even one");
  // In the order in which they have to be, which Linux insists on too.
  const tables = ["inodeTable", "directoryTable", "fragmentTable", "exportTable", "idTable", "xattrTable"] as const;
  let before = superblock.size - 1;
  for (const table of tables) {
    const at = block[table];
    if (at === undefined) continue;
    if (at <= before || at >= bytesUsed) {
      throw wrong(table, `its ${table} is at byte ${at}: it should be between ${before} and ${bytesUsed}`);
    }
    before = at;
  }
}
