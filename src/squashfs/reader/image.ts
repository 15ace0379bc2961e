/** An opened image: its tables, each checked against the place that the others leave it. */
import type { ReadableDevice } from "../../bytes/device.js";
import {
  FLAGS,
  fragmentEntry,
  INODE_REFERENCE_SIZE,
  METADATA_SIZE,
  superblock,
  xattrId,
  xattrTable,
} from "../layout.js";
import { corrupt, readStruct } from "./corrupt.js";
import { Decoder } from "./decoder.js";
import { LookupTable } from "./lookup-table.js";
import { MetadataTable } from "./metadata.js";
import { readSuperblock, type Superblock } from "./superblock.js";

/** A user or group id. */
const ID_SIZE = 4;

export interface XattrTables {
  /** Names and values. */
  readonly attributes: MetadataTable;
  readonly sets: LookupTable;
}

export interface Image {
  readonly device: ReadableDevice;
  readonly decoder: Decoder;
  readonly superblock: Superblock;
  /** As stored; undefined where the image goes by the compressor's defaults. */
  readonly compressorOptions: Uint8Array | undefined;
  readonly inodes: MetadataTable;
  readonly listings: MetadataTable;
  /** User and group ids by the index that inodes have. */
  readonly ids: Uint32Array;
  /** Undefined for tables that the image does not have. */
  readonly fragments: LookupTable | undefined;
  readonly exports: LookupTable | undefined;
  readonly xattrs: XattrTables | undefined;
}

/** Opens an image from byte 0 of `device`. Errors as `openSquashfs` has them. */
export async function openImage(device: ReadableDevice): Promise<Image> {
  const block = await readSuperblock(device);
  const decoder = await Decoder.forCompressor(block.compressor);
  const { inodeTable, directoryTable } = block;

  // From the last table to the first: each has to end where the next one begins, or before.
  let end = block.bytesUsed;
  const lookupTable = async (name: string, index: number | undefined, records: number, recordSize: number) => {
    if (index === undefined) return undefined;
    const table = await LookupTable.open(device, decoder, { name, index, end, records, recordSize });
    end = table.start;
    return table;
  };
  const xattrs = await openXattrs(device, decoder, block);
  end = xattrs?.attributes.start ?? end;
  const idTable = (await lookupTable("the id table", block.idTable, block.ids, ID_SIZE))!;
  const exports = await lookupTable("the export table", block.exportTable, block.inodes, INODE_REFERENCE_SIZE);
  const fragments = await lookupTable("the fragment table", block.fragmentTable, block.fragments, fragmentEntry.size);
  if (end < directoryTable) {
    throw corrupt(
      superblock.offsets.directoryTable,
      `the directory table begins behind byte ${end}, where the next does`,
    );
  }
  return {
    device,
    decoder,
    superblock: block,
    compressorOptions: await readOptions(device, decoder, block),
    inodes: new MetadataTable(device, decoder, "the inode table", inodeTable, directoryTable),
    listings: new MetadataTable(device, decoder, "the directory table", directoryTable, end),
    ids: await readIds(idTable),
    fragments,
    exports,
    xattrs,
  };
}

async function openXattrs(
  device: ReadableDevice,
  decoder: Decoder,
  { xattrTable: at, bytesUsed }: Superblock,
): Promise<XattrTables | undefined> {
  if (at === undefined) return undefined;
  const index = at + xattrTable.size;
  if (index > bytesUsed) throw corrupt(at, `the xattr table does not fit in front of byte ${bytesUsed}`);
  const report = (message: string) => corrupt(at, message);
  const { start, sets } = readStruct(xattrTable, await device.read(at, xattrTable.size), report);
  if (sets === 0)
    throw corrupt(at + xattrTable.offsets.sets, "the xattr table has no sets: there should be no table then");
  const place = { name: "the xattr table", index, end: bytesUsed, records: sets, recordSize: xattrId.size };
  const table = await LookupTable.open(device, decoder, place);
  if (start < superblock.size || start >= table.start) {
    throw corrupt(
      at,
      `the extended attributes would begin at byte ${start}, and the sets of them begin at ${table.start}`,
    );
  }
  return {
    attributes: new MetadataTable(device, decoder, "the extended attributes", start, table.start),
    sets: table,
  };
}

async function readOptions(
  device: ReadableDevice,
  decoder: Decoder,
  { flags, inodeTable }: Superblock,
): Promise<Uint8Array | undefined> {
  if ((flags & FLAGS.compressorOptions) === 0) return undefined;
  // A table of one block; data follows it.
  const end = Math.min(inodeTable, superblock.size + 2 + METADATA_SIZE);
  const options = new MetadataTable(device, decoder, "the compressor's options", superblock.size, end);
  return (await options.block(options.start)).bytes;
}

/** All of them: there are at most 65,535. */
async function readIds(table: LookupTable): Promise<Uint32Array> {
  const ids = new Uint32Array(table.records);
  const perBlock = METADATA_SIZE / ID_SIZE;
  for (let first = 0; first < ids.length; first += perBlock) {
    const count = Math.min(perBlock, ids.length - first);
    const bytes = await table.cursor(first).read(ID_SIZE * count);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let i = 0; i < count; i++) ids[first + i] = view.getUint32(ID_SIZE * i, true);
  }
  return ids;
}
