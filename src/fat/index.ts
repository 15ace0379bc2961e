/**
 * FAT12, FAT16 and FAT32 with long names, after Microsoft's "FAT32 File System Specification" (fatgen103, 2000). A volume
 * in the order in which it lies on the disk:
 *
 *     region         begins at sector                    holds
 *     -------------  ----------------------------------  ----------------------------------------------------------
 *     boot sector    0                                   geometry, volume id, label
 *     FSInfo         1                      FAT32 only   how many clusters are free, and where to look for one
 *     backup         6, 7                   FAT32 only   both of them again
 *     table 1        reservedSectors                     an entry a cluster: the number of the next one in its chain
 *     table 2        ... + fatSectors                    the same
 *     root           ... + fatSectors    FAT12, 16 only  a directory of fixed length
 *     clusters       behind it                           number 2 on: directories, then files, each without a gap
 *
 *     layout.ts       the structures            plan.ts       from a tree to clusters       reader.ts       paths, chains
 *     geometry.ts     the arithmetic of it      table.ts      the table, both ways          boot-sector.ts  is it sound?
 *     names.ts        long and short names      directory.ts  entries, as written           entries.ts      entries, as read
 *     time.ts         its timestamps            content.ts    files, as written             writer.ts       all of it
 */
export type { FatType } from "./layout.js";
export { type FatEntry, type FatReader, openFat } from "./reader.js";
export { type FatOptions, type FatSummary, measureFat, writeFat } from "./writer.js";
