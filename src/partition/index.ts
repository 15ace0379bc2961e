/**
 * Partition tables, after the UEFI Specification 2.10, chapter 5. A disk in the order in which it lies:
 *
 *     MBR                                          GPT (sectors of 512 bytes; `tableRanges` counts for both sizes)
 *     byte 440   disk signature                    sector 0         protective MBR: one entry of type 0xee, in a hybrid
 *     byte 446   four entries of 16 bytes                           MBR up to three partitions beside it
 *     byte 510   55 AA                             sector 1         header, with checksums of itself and the entries
 *     ...        partitions, anywhere behind       sectors 2 - 33   128 entries of 128 bytes; fewer, or further back
 *     in the extended one of them:                 ...              partitions
 *     ...        a record like sector 0, and       last 33 sectors  the entries and the header once more
 *                a logical partition, each
 *
 *     layout.ts       the structures                        reader.ts     which table counts
 *     mbr.ts, gpt.ts  writing                               read-mbr.ts   its partitions, the chain of logical ones
 *     logical.ts      the chain of logical partitions       read-gpt.ts   its copies and entries
 *     mbr-entry.ts    the entry that both tables have       table.ts      what reading gives, and its problems
 *     ranges.ts       what may lie where                    conflict.ts   the error for what cannot be
 *     types.ts, attributes.ts  by name                      move-backup.ts  a GPT on a longer disk
 */
export { ATTRIBUTES, gptAttributes } from "./attributes.js";
export { type GptOptions, type GptPartition, writeGpt } from "./gpt.js";
export { GPT_ENTRIES } from "./layout.js";
export { MBR_PARTITIONS, type MbrOptions, type MbrPartition, mbrPartuuid, mbrReach, writeMbr } from "./mbr.js";
export { moveGptBackup } from "./move-backup.js";
export {
  LEAST_ENTRIES,
  type ReservedRange,
  type SectorSize,
  type TableKind,
  type TableShape,
  tableRanges,
} from "./ranges.js";
export { type ReadTableOptions, readPartitionTable } from "./reader.js";
export type { GptFacts, HybridEntry, Partition, PartitionTable, Problem } from "./table.js";
export { gptType, mbrType, PARTITION_TYPES } from "./types.js";
