/**
 * Partition tables, after the UEFI Specification 2.10, chapter 5. A disk in the order in which it lies:
 *
 *     MBR                                          GPT (sectors of 512 bytes; `tableRanges` counts for both sizes)
 *     byte 440   disk signature                    sector 0         protective MBR: one entry of type 0xee
 *     byte 446   four entries of 16 bytes          sector 1         header, with checksums of itself and the entries
 *     byte 510   55 AA                             sectors 2 - 33   128 entries of 128 bytes
 *     ...        partitions, anywhere behind       ...              partitions
 *                                                  last 33 sectors  the entries and the header once more
 *
 *     layout.ts   the structures       mbr.ts, gpt.ts   writing       ranges.ts   what may lie where
 *     types.ts    types by name        reader.ts        reading
 */
export { type GptOptions, type GptPartition, writeGpt } from "./gpt.js";
export { type MbrOptions, type MbrPartition, mbrPartuuid, writeMbr } from "./mbr.js";
export { type ReservedRange, type SectorSize, type TableKind, tableRanges } from "./ranges.js";
export { type Partition, type PartitionTable, readPartitionTable } from "./reader.js";
export { gptType, mbrType, PARTITION_TYPES } from "./types.js";
