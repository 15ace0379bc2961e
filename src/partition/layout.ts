/** The structures of both tables, as constants only: UEFI Specification 2.10, chapter 5 "GUID Partition Table Disk Layout". */
import { array, ascii, bytes, type FieldType, size64, struct, u8, u16, u32, u64 } from "../bytes/struct.js";
import { formatUuid, uuidBytes } from "../bytes/uuid.js";

/** A GUID as its text. On the disk its first three groups are little-endian (appendix A). */
const guid: FieldType<string> = {
  size: 16,
  zero: "00000000-0000-0000-0000-000000000000",
  get: (view, at) => formatUuid(swapGroups(new Uint8Array(view.buffer, view.byteOffset + at, 16))),
  set: (view, at, value) => new Uint8Array(view.buffer, view.byteOffset + at, 16).set(swapGroups(uuidBytes(value))),
};
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
const swapGroups = (from: Uint8Array) => Uint8Array.from(ORDER, (index) => from[index]!);

/** One of the four primary partitions. Section 5.2.1, "Legacy MBR Partition Record". */
export const mbrEntry = struct("mbr_partition", 16, {
  status: [0, u8],
  firstChs: [1, bytes(3)],
  type: [4, u8],
  lastChs: [5, bytes(3)],
  firstSector: [8, u32],
  sectors: [12, u32],
});

/**
 * Sector 0 (section 5.2.1, "Legacy Master Boot Record"), and the extended boot record in front of each logical partition,
 * which uses two of the entries: its partition, counted from its own sector, and the next record, counted from the first.
 */
export const mbr = struct("mbr", 512, {
  bootCode: [0, bytes(440)],
  diskSignature: [440, u32],
  entries: [446, array(bytes(mbrEntry.size), 4)],
  signature: [510, u16],
});
export const MBR_SIGNATURE = 0xaa55;
export const MBR_ENTRIES = 4;
export const ACTIVE = 0x80;
/** The partition that holds the logical ones. 0x05 is the older type, of the same meaning; 0x85 is Linux's own. */
export const EXTENDED_LBA_TYPE = 0x0f;
export const EXTENDED_TYPE = 0x05;
export const EXTENDED_TYPES: readonly number[] = [EXTENDED_TYPE, EXTENDED_LBA_TYPE, 0x85];
/** The type of the one entry that keeps programs which know no GPT away from it. Section 5.2.3, "Protective MBR". */
export const PROTECTIVE_TYPE = 0xee;

/** Sector 1, and the disk's last one. Section 5.3.2, "GPT Header". */
export const gptHeader = struct("gpt_header", 92, {
  signature: [0, ascii(8)],
  revision: [8, u32],
  headerSize: [12, u32],
  headerCrc: [16, u32],
  ownSector: [24, size64],
  otherSector: [32, size64],
  firstUsable: [40, size64],
  lastUsable: [48, size64],
  diskGuid: [56, guid],
  entriesSector: [72, size64],
  entryCount: [80, u32],
  entrySize: [84, u32],
  entriesCrc: [88, u32],
});
export const GPT_SIGNATURE = "EFI PART";
export const GPT_REVISION = 0x00010000;

/** Section 5.3.3, "GPT Partition Entry Array". */
export const gptEntry = struct("gpt_partition", 128, {
  type: [0, guid],
  guid: [16, guid],
  firstSector: [32, size64],
  lastSector: [40, size64],
  attributes: [48, u64],
  name: [56, array(u16, 36)],
});
export const GPT_ENTRIES = 128;
export const GPT_NAME_UNITS = 36;
export const UNUSED_GUID = "00000000-0000-0000-0000-000000000000";
