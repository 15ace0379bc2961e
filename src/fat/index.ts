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
 * Both ways: layout.ts, the structures; geometry.ts, the arithmetic; names.ts, long and short names, with case.ts; time.ts, timestamps;
 * table.ts, the table.
 *
 *     writing                                            reading
 *     writer.ts       all of it                          reader.ts       the face: facts, paths, contents
 *     plan.ts         from a tree to clusters            read-tree.ts    the whole volume as a tree
 *     directory.ts    entries                            entries.ts      entries
 *     content.ts      files, streamed                    chain.ts        chains of clusters
 *                                                        boot-sector.ts  is it sound?
 */
export type { FatDirectory, FatEntry, FatFile } from "./entries.js";
export type { FatType, SectorSize } from "./layout.js";
export { type FatFacts, type FatReader, openFat } from "./reader.js";
export { checkFat, type FatOptions, type FatSummary, measureFat, writeFat } from "./writer.js";
