/** Partition types by name. */
import { isUuid } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";

/**
 * Names that both kinds of table know. "raw" is for content without a file system: as any non-zero number will do, it is
 * Linux's, because U-Boot does not see a partition of type 0. Numbers after Andries Brouwer's list, GUIDs after the UEFI
 * and the Discoverable Partitions specifications.
 */
const NAMES: Readonly<Record<string, { readonly mbr?: number; readonly gpt?: string }>> = {
  fat12: { mbr: 0x01, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  fat16: { mbr: 0x06, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  "fat16-lba": { mbr: 0x0e, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  fat32: { mbr: 0x0b, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  "fat32-lba": { mbr: 0x0c, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  "basic-data": { mbr: 0x07, gpt: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7" },
  linux: { mbr: 0x83, gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4" },
  raw: { mbr: 0x83, gpt: "0fc63daf-8483-4772-8e79-3d69d8477de4" },
  "linux-swap": { mbr: 0x82, gpt: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f" },
  esp: { mbr: 0xef, gpt: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" },
  "bios-boot": { gpt: "21686148-6449-6e6f-744e-656564454649" },
  xbootldr: { mbr: 0xea, gpt: "bc13c2ff-59e6-4262-a352-b275fd6f7172" },
  "linux-root-arm": { gpt: "69dad710-2ce4-4e3c-b16c-21a1d49abed3" },
  "linux-root-arm64": { gpt: "b921b045-1df0-41c3-af44-4c6f280d3fae" },
  "uboot-env": { gpt: "3de21764-95bd-54bd-a5c3-4abe786f38a8" },
};

/** Every name that a type can be given by. */
export const PARTITION_TYPES: readonly string[] = Object.keys(NAMES);

function unknownType(type: string | number, table: "MBR" | "GPT", wanted: string, key: "mbr" | "gpt"): ImgbuildError {
  const names = PARTITION_TYPES.filter((name) => NAMES[name]![key] !== undefined);
  return new ImgbuildError(
    "layout-conflict",
    `"${type}" is not a type that a partition of an ${table} table can have`,
    {
      hint: `Use ${wanted}, or one of ${names.join(", ")}.`,
      data: { type },
    },
  );
}

/** The number of a type, from a name, a number or its text ("0x0c"). Throws a `layout-conflict` error. */
export function mbrType(type: string | number): number {
  const text = String(type);
  const value = NAMES[text]?.mbr ?? (/^(?:0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN);
  if (value >= 1 && value <= 0xff) return value;
  throw unknownType(type, "MBR", "a number from 0x01 to 0xff", "mbr");
}

/** The GUID of a type, in lower case, from a name or a GUID. Throws a `layout-conflict` error. */
export function gptType(type: string | number): string {
  const guid = NAMES[type]?.gpt ?? (isUuid(String(type)) ? String(type).toLowerCase() : undefined);
  if (guid === undefined) throw unknownType(type, "GPT", "a GUID", "gpt");
  return guid;
}
