/** The 64 attribute bits of a GPT partition, by name. */
import { conflict } from "./conflict.js";

/** "Legacy BIOS Bootable": what U-Boot, and `sfdisk --part-attrs LegacyBIOSBootable`, call bootable. U-Boot takes an ESP for it too. */
export const LEGACY_BOOT = 1n << 2n;

/**
 * Bits 0 to 2: UEFI Specification 2.10, table 5.8 "Defined GPT Partition Entry - Attributes". Bits 59, 60 and 63: the
 * Discoverable Partitions Specification, "Partition Flags"; 60, 62 and 63 mean the same in Microsoft's VDS_PARTITION_INFO_GPT.
 */
const BITS: ReadonlyMap<string, bigint> = new Map([
  ["required", 0n],
  ["no-block-io", 1n],
  ["legacy-boot", 2n],
  ["growfs", 59n],
  ["read-only", 60n],
  ["hidden", 62n],
  ["no-auto", 63n],
]);

/** Every name that `gptAttributes` knows. */
export const ATTRIBUTES: readonly string[] = [...BITS.keys()];

/** The attribute bits of names and bit numbers (0 to 63). Throws a `layout-conflict` error for what is neither. */
export function gptAttributes(attributes: readonly (string | number)[]): bigint {
  let bits = 0n;
  for (const attribute of attributes) {
    const text = String(attribute);
    const bit = BITS.get(text) ?? (/^\d{1,2}$/.test(text) ? BigInt(text) : 64n);
    if (bit > 63n) {
      throw conflict(
        `"${attribute}" is not an attribute of a GPT partition`,
        `Use ${ATTRIBUTES.join(", ")}, or a bit from 0 to 63; the type of the partition gives 48 to 63 their meaning.`,
        { attribute },
      );
    }
    bits |= 1n << bit;
  }
  return bits;
}

/** The attributes that are set, by name, or by the bit's number where it has none. */
export function attributeNames(bits: bigint): string[] {
  const names = new Map([...BITS].map(([name, bit]) => [bit, name]));
  return Array.from({ length: 64 }, (_, bit) => BigInt(bit))
    .filter((bit) => (bits >> bit) & 1n)
    .map((bit) => names.get(bit) ?? `${bit}`);
}
