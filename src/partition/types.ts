/** Partition types by name. */
import { isUuid } from "../bytes/uuid.js";
import type { ImgbuildError } from "../errors.js";
import { conflict } from "./conflict.js";
import { EXTENDED_TYPES, PROTECTIVE_TYPE, UNUSED_GUID } from "./layout.js";

const BASIC_DATA = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7";

/**
 * Names and what they are in each table; most of the newer types have no number. "raw" is for content without a file system:
 * as any non-zero number will do, it is Linux's, because U-Boot does not see a partition of type 0.
 *
 * Numbers: Andries Brouwer's "List of partition identifiers for PCs". GUIDs: UEFI Specification 2.10, table 5.7; Discoverable
 * Partitions Specification; those of bootloaders where they are defined: U-Boot include/part_efi.h, Trusted Firmware-A
 * plat/st/common/include/stm32mp_efi.h, Arm's Platform Security Firmware Update, "Metadata".
 */
const NAMES: Readonly<Record<string, { readonly mbr?: number; readonly gpt?: string }>> = {
  fat12: { mbr: 0x01, gpt: BASIC_DATA },
  fat16: { mbr: 0x06, gpt: BASIC_DATA },
  "fat16-lba": { mbr: 0x0e, gpt: BASIC_DATA },
  fat32: { mbr: 0x0b, gpt: BASIC_DATA },
  "fat32-lba": { mbr: 0x0c, gpt: BASIC_DATA },
  "basic-data": { mbr: 0x07, gpt: BASIC_DATA },
  linux: { mbr: 0x83, gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4" },
  raw: { mbr: 0x83, gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4" },
  "linux-swap": { mbr: 0x82, gpt: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" },
  "linux-lvm": { mbr: 0x8e, gpt: "e6d6d379-f507-44c2-a23c-238f2a3df928" },
  "linux-raid": { mbr: 0xfd, gpt: "a19d880f-05fc-4d3b-a006-743f0f84911e" },
  "non-fs": { mbr: 0xda },
  esp: { mbr: 0xef, gpt: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" },
  xbootldr: { mbr: 0xea, gpt: "bc13c2ff-59e6-4262-a352-b275fd6f7172" },
  "bios-boot": { gpt: "21686148-6449-6e6f-744e-656564454649" },
  "linux-home": { gpt: "933ac7e1-2eb4-4f13-b844-0e14e2aef915" },
  "linux-srv": { gpt: "3b8f8425-20e0-4f3b-907f-1a25a76f98e8" },
  "linux-var": { gpt: "4d21b016-b534-45c2-a9fb-5c16e091fd2d" },
  "linux-tmp": { gpt: "7ec6f557-3bc5-4aca-b293-16ef5df639d1" },
  "linux-reserved": { gpt: "8da63339-0007-60c0-c436-083ac8230908" },
  "linux-root-arm": { gpt: "69dad710-2ce4-4e3c-b16c-21a1d49abed3" },
  "linux-root-arm64": { gpt: "b921b045-1df0-41c3-af44-4c6f280d3fae" },
  "linux-root-riscv64": { gpt: "72ec70a6-cf74-40e6-bd49-4bda08e8f224" },
  "linux-root-x86-64": { gpt: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709" },
  "linux-root-arm-verity": { gpt: "7386cdf2-203c-47a9-a498-f2ecce45a2d6" },
  "linux-root-arm64-verity": { gpt: "df3300ce-d69f-4c92-978c-9bfb0f38d820" },
  "linux-root-riscv64-verity": { gpt: "b6ed5582-440b-4209-b8da-5ff7c419ea3d" },
  "linux-root-x86-64-verity": { gpt: "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5" },
  "linux-root-arm-verity-sig": { gpt: "42b0455f-eb11-491d-98d3-56145ba9d037" },
  "linux-root-arm64-verity-sig": { gpt: "6db69de6-29f4-4758-a7a5-962190f00ce3" },
  "linux-root-riscv64-verity-sig": { gpt: "efe0f087-ea8d-4469-821a-4c2a96a8386a" },
  "linux-root-x86-64-verity-sig": { gpt: "41092b05-9fc8-4523-994f-2def0408b176" },
  "linux-usr-arm": { gpt: "7d0359a3-02b3-4f0a-865c-654403e70625" },
  "linux-usr-arm64": { gpt: "b0e01050-ee5f-4390-949a-9101b17104e9" },
  "linux-usr-riscv64": { gpt: "beaec34b-8442-439b-a40b-984381ed097d" },
  "linux-usr-x86-64": { gpt: "8484680c-9521-48c6-9c11-b0720656f69e" },
  "linux-usr-arm-verity": { gpt: "c215d751-7bcd-4649-be90-6627490a4c05" },
  "linux-usr-arm64-verity": { gpt: "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e" },
  "linux-usr-riscv64-verity": { gpt: "8f1056be-9b05-47c4-81d6-be53128e5b54" },
  "linux-usr-x86-64-verity": { gpt: "77ff5f63-e7b6-4633-acf4-1565b864c0e6" },
  "linux-usr-arm-verity-sig": { gpt: "d7ff812f-37d1-4902-a810-d76ba57b975a" },
  "linux-usr-arm64-verity-sig": { gpt: "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a" },
  "linux-usr-riscv64-verity-sig": { gpt: "d2f9000a-7a18-453f-b5cd-4d32f77a7b32" },
  "linux-usr-x86-64-verity-sig": { gpt: "e7bb33fb-06cf-4e81-8273-e543b413e2e2" },
  "uboot-env": { gpt: "3de21764-95bd-54bd-a5c3-4abe786f38a8" },
  "stm32mp-fip": { gpt: "19d5df83-11b0-457b-be2c-7559c13142a5" },
  "fwu-metadata": { gpt: "8a7a84a0-8387-40f6-ab41-a8b9a5a60d23" },
  "chromeos-kernel": { gpt: "fe3a2a5d-4f32-41a7-b725-accc3285a309" },
};

/** Every name that a type can be given by. */
export const PARTITION_TYPES: readonly string[] = Object.keys(NAMES);

function unknownType(type: string | number, table: "MBR" | "GPT", wanted: string, key: "mbr" | "gpt"): ImgbuildError {
  const names = PARTITION_TYPES.filter((name) => NAMES[name]![key] !== undefined);
  return conflict(
    `"${type}" is not a type that a partition of ${table === "MBR" ? "an MBR table" : "a GPT"} can have`,
    `Use ${wanted}, or one of ${names.join(", ")}.`,
    { type },
  );
}

/**
 * The number of a type, from a name, a number or its text ("0x0c"). Throws a `layout-conflict` error, also for the types that
 * mean the table itself: the extended partition is made for the logical ones, the protective one for a GPT.
 */
export function mbrType(type: string | number): number {
  const text = String(type);
  const value = NAMES[text]?.mbr ?? (/^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN);
  if (EXTENDED_TYPES.includes(value) || value === PROTECTIVE_TYPE) {
    throw conflict(
      `${text} is the type of ${value === PROTECTIVE_TYPE ? "a GPT's protective entry" : "an extended partition"}, which is made where it is needed`,
      "Give the partition the type of what is in it; partitions numbered from 5 on are put into an extended one.",
      { type },
    );
  }
  if (value >= 1 && value <= 0xff) return value;
  throw unknownType(type, "MBR", "a number from 0x01 to 0xff", "mbr");
}

/** The GUID of a type, in lower case, from a name or a GUID. Throws a `layout-conflict` error. */
export function gptType(type: string | number): string {
  const guid = NAMES[type]?.gpt ?? (isUuid(String(type)) ? String(type).toLowerCase() : UNUSED_GUID);
  if (guid === UNUSED_GUID) throw unknownType(type, "GPT", "a GUID", "gpt");
  return guid;
}
