/** Writes an image: the data, then the metadata that points to it, the superblock last. */
import type { Device } from "../bytes/device.js";
import { alignUp } from "../bytes/size.js";
import { CompressorPool, createCompressor } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { listLargest } from "../tree/largest.js";
import type { Tree } from "../tree/tree.js";
import { CompressedBlocks, StoredBlocks } from "./blocks.js";
import { checkTree } from "./check-tree.js";
import { DataWriter } from "./data.js";
import { writeListing } from "./directories.js";
import { Duplicates } from "./duplicates.js";
import { FragmentWriter } from "./fragments.js";
import { IdTable } from "./ids.js";
import { InodeWriter } from "./inodes.js";
import { FLAGS, MAGIC, NO_TABLE, superblock, VERSION_MAJOR, VERSION_MINOR } from "./layout.js";
import { MetadataWriter, storedBlock, writeTable } from "./metadata.js";
import { reportOmittedXattrs } from "./omitted-xattrs.js";
import { type Part, resolveOptions, type Settings, type SquashfsOptions } from "./options.js";
import { Output } from "./output.js";
import { type Inode, type Plan, plan, ROOT } from "./plan.js";
import { StoredFiles } from "./stored-files.js";
import { storedSizes } from "./stored-sizes.js";
import { XattrWriter } from "./xattrs.js";

/** What a report says about a written image. Sizes in bytes. */
export interface SquashfsSummary {
  /** Length of the file system itself. */
  readonly bytesUsed: number;
  /** Its length with the padding: what the image takes. */
  readonly size: number;
  readonly inodes: number;
  readonly directories: number;
  /** Regular files; one with several names counts once. */
  readonly files: number;
  /** What these files have together, holes and duplicates included. */
  readonly fileBytes: number;
  /** Fragment blocks. */
  readonly fragments: number;
  /** Files that share the bytes of another one, and their size. */
  readonly duplicates: number;
  readonly duplicateBytes: number;
  /** Zeros that are not stored. */
  readonly sparseBytes: number;
  /** Different user and group ids. */
  readonly ids: number;
  /** Different sets of extended attributes. */
  readonly xattrSets: number;
  /** Extended attributes that could not be stored. */
  readonly omittedXattrs: number;
  /** Inodes whose mtime could not be stored and was moved to the nearest that can. */
  readonly clampedTimes: number;
}

/**
 * Writes `tree` as a SquashFS 4.0 image, from byte 0 of `device`, which may be larger. What is written depends on the tree
 * and the options alone, not on `jobs`.
 *
 * Rejects with `usage` for an option out of range, and with `not-representable` for a name, mode, owner, time, target, device
 * number or (with `strictXattrs`) extended attribute that the format cannot hold: both before anything is written. Then with
 * `not-representable` for too many ids or too much metadata; `does-not-fit`, with `data: { needed, available, largest }` in bytes, when
 * the device is too small: the tree was read to its end by then, so `needed` is exact; `source-changed`; and whatever the
 * contents and the device reject with. What was written until then stays on the device, without a superblock: that of an
 * image that was there before is made zeros first.
 */
export async function writeSquashfs(device: Device, tree: Tree, options: SquashfsOptions): Promise<SquashfsSummary> {
  const settings = resolveOptions(options);
  const planned = plan(tree);
  checkTree(planned);
  const omittedXattrs = settings.xattrs ? reportOmittedXattrs(planned, settings) : 0;
  // Of an image that was there before: it would describe what is about to be replaced.
  await device.zero(0, Math.min(superblock.size, device.size));
  const output = new Output(device, superblock.size);
  try {
    const written = await writeImage(device, output, tree, planned, settings);
    return { ...written, omittedXattrs };
  } finally {
    await output.settle();
  }
}

/** What a compressor of this thread is for; a pool has its own for the others. */
const METADATA: readonly Part[] = ["inodes", "fragments", "xattrs"];

async function writeImage(device: Device, output: Output, tree: Tree, planned: Plan, settings: Settings) {
  if (settings.compressorOptions !== undefined) await output.append(storedBlock(settings.compressorOptions));

  const stored = new StoredFiles(planned.names.length, settings);
  const { fragments, ...dataFacts } = await storeFiles(output, planned, stored, settings);

  const compressor = METADATA.every((part) => settings.uncompressed.has(part))
    ? undefined
    : await createCompressor(settings.metadataCodec);
  /** The compressor for what belongs to one of these parts; undefined when it stays uncompressed. */
  const forPart = (...parts: Part[]) =>
    parts.some((part) => settings.uncompressed.has(part)) ? undefined : compressor;
  const ids = new IdTable();
  const xattrs = settings.xattrs ? new XattrWriter(forPart("xattrs")) : undefined;
  const inodes = new InodeWriter(new MetadataWriter(forPart("inodes")), planned, stored, ids, xattrs);
  const tables = {
    ...(await writeInodes(output, planned, inodes, new MetadataWriter(forPart("inodes")))),
    fragmentTable: BigInt(await writeTable(output, forPart("fragments"), fragments.encode())),
    exportTable: settings.exports
      ? BigInt(await writeTable(output, forPart("inodes"), exportTable(planned)))
      : NO_TABLE,
    idTable: await writeTable(output, forPart("inodes", "ids"), ids.encode()),
    // The last one: Linux checks that it ends where the file system ends.
    xattrTable: BigInt((await xattrs?.write(output)) ?? NO_TABLE),
  };
  const bytesUsed = output.position;
  const size = alignUp(bytesUsed, settings.pad);
  if (size > device.size) {
    const takes = storedSizes(planned, stored, fragments.storedSizes());
    throw new ImgbuildError(
      "does-not-fit",
      `the SquashFS image needs ${size} bytes; its place has ${device.size}: ${size - device.size} too few`,
      {
        hint: "Give it a larger place, or leave files out.",
        data: {
          needed: size,
          available: device.size,
          largest: listLargest(tree, (node) => takes.get(node) ?? 0),
        },
      },
    );
  }
  await output.flush();
  await device.zero(bytesUsed, size - bytesUsed);
  await device.write(
    0,
    superblock.encode({
      magic: MAGIC,
      inodes: planned.count,
      time: settings.time,
      blockSize: settings.blockSize,
      fragments: fragments.count,
      compressor: settings.compressorId,
      blockLog: 31 - Math.clz32(settings.blockSize),
      flags: flagsOf(settings),
      ids: ids.count,
      major: VERSION_MAJOR,
      minor: VERSION_MINOR,
      rootInode: planned.references[ROOT]!,
      bytesUsed,
      ...tables,
    }),
  );
  if (inodes.clampedTimes > 0) {
    settings.observer.notice?.(
      `SquashFS has times from 1970 to 2106: ${inodes.clampedTimes} modification times outside were moved to the nearest`,
    );
  }
  return {
    bytesUsed,
    size,
    inodes: planned.count,
    directories: planned.directories.size,
    ...dataFacts,
    fragments: fragments.count,
    ids: ids.count,
    xattrSets: xattrs?.sets ?? 0,
    clampedTimes: inodes.clampedTimes,
  };
}

/** The inodes of regular files, in the order in which their data is stored. */
function filesOf(planned: Plan, { priorities }: Settings): Uint32Array {
  const files = planned.inodes.filter((inode, name) => inode === name && planned.nodes[inode]!.type === "file");
  if (priorities.size === 0) return files;
  const priorityOf = (file: Inode) => priorities.get(planned.nodes[file]!) ?? 0;
  return files.sort((a, b) => priorityOf(b) - priorityOf(a) || a - b);
}

/** Stores the data of all files, and notes in `stored` where it is. */
async function storeFiles(output: Output, planned: Plan, stored: StoredFiles, settings: Settings) {
  const { codec: spec, blockSize, jobs } = settings;
  const blocks =
    settings.uncompressed.has("data") && settings.uncompressed.has("fragments")
      ? new StoredBlocks(output, settings)
      : new CompressedBlocks(output, await CompressorPool.create({ spec, slotSize: blockSize, jobs }), settings);
  try {
    const fragments = new FragmentWriter(blocks, stored, settings);
    const files = filesOf(planned, settings);
    const duplicates = settings.dedupe ? new Duplicates(planned, files, blockSize) : undefined;
    const data = new DataWriter(planned, stored, blocks, fragments, duplicates, settings);
    let fileBytes = 0;
    for (const file of files) {
      await data.add(file);
      fileBytes += planned.contentOf(file).size;
    }
    await fragments.flush();
    await blocks.drain();
    const { sparseBytes, duplicateBytes } = data;
    return { fragments, files: files.length, fileBytes, duplicates: data.duplicates, duplicateBytes, sparseBytes };
  } finally {
    await blocks.close();
  }
}

/** Writes the inode table, and after it the directory table, which grows in memory meanwhile. */
async function writeInodes(
  output: Output,
  planned: Plan,
  inodes: InodeWriter,
  listings: MetadataWriter,
): Promise<{ inodeTable: number; directoryTable: number }> {
  const inodeTable = output.position;
  // Inodes are written in the order of their numbers: of the names that lead to one, at the first that comes up here.
  let written = 0;
  for (const directory of [...planned.directories.values()].reverse()) {
    for (const inode of planned.inodes.subarray(directory.first, directory.end)) {
      if (planned.numbers[inode] !== written + 1) continue;
      inodes.write(inode);
      written++;
    }
    directory.listing = writeListing(listings, planned, directory);
    await appendAll(output, inodes.table);
  }
  inodes.write(ROOT);
  inodes.table.finish();
  await appendAll(output, inodes.table);
  const directoryTable = output.position;
  listings.finish();
  await appendAll(output, listings);
  return { inodeTable, directoryTable };
}

async function appendAll(output: Output, table: MetadataWriter): Promise<void> {
  for (const block of table.take()) await output.append(block);
}

/** The reference of every inode, in the order of their numbers, 64 bits each. */
function exportTable(planned: Plan): Uint8Array {
  const table = new Uint8Array(8 * planned.count);
  const view = new DataView(table.buffer);
  for (const inode of planned.all()) {
    view.setBigUint64(8 * (planned.numbers[inode]! - 1), BigInt(planned.references[inode]!), true);
  }
  return table;
}

function flagsOf({ fragments, dedupe, exports, xattrs, compressorOptions, uncompressed }: Settings): number {
  return (
    (uncompressed.has("inodes") ? FLAGS.uncompressedInodes : 0) |
    (uncompressed.has("data") ? FLAGS.uncompressedData : 0) |
    (uncompressed.has("fragments") ? FLAGS.uncompressedFragments : 0) |
    (uncompressed.has("xattrs") ? FLAGS.uncompressedXattrs : 0) |
    (uncompressed.has("ids") ? FLAGS.uncompressedIds : 0) |
    (fragments ? 0 : FLAGS.noFragments) |
    (fragments === "always" ? FLAGS.alwaysFragments : 0) |
    (dedupe ? FLAGS.duplicatesRemoved : 0) |
    (exports ? FLAGS.exportable : 0) |
    (xattrs ? 0 : FLAGS.noXattrs) |
    (compressorOptions === undefined ? 0 : FLAGS.compressorOptions)
  );
}
