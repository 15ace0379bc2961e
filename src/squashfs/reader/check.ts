/** What reading all files does not come by: metadata that nothing refers to, the export table, fragments nobody uses. */
import type { Finding } from "../../bytes/finding.js";
import { ImgbuildError } from "../../errors.js";
import { METADATA_SIZE, METADATA_STORED } from "../layout.js";
import type { DataReader } from "./data.js";
import type { Image } from "./image.js";
import type { LookupTable } from "./lookup-table.js";
import type { MetadataTable } from "./metadata.js";

/** Numbers of inodes to look up by the export table. */
export type FindInode = (number: number) => Promise<unknown>;

/**
 * Decompresses every metadata block and every fragment, and follows every entry of the export table. Damage is found as far
 * as the compressor's own checksum, or what comes out, shows it: SquashFS has no checksums.
 */
export async function* checkImage(image: Image, data: DataReader, findInode: FindInode): AsyncGenerator<Finding> {
  const { fragments, exports, xattrs } = image;
  for (const table of [image.inodes, image.listings, xattrs?.attributes]) {
    if (table !== undefined) yield* checkBlocks(image, table);
  }
  for (const table of [fragments, exports, xattrs?.sets]) if (table !== undefined) yield* checkRecords(table);
  for (let number = 0; number < (fragments?.records ?? 0); number++) yield* attempt(() => data.fragment(number));
  for (let number = 1; number <= (exports?.records ?? 0); number++) yield* attempt(() => findInode(number));
}

/** Goes from block to block by their headers, so that a broken block does not hide those behind it. */
async function* checkBlocks({ device }: Image, table: MetadataTable): AsyncGenerator<Finding> {
  for (let at = table.start; at < table.end; ) {
    yield* attempt(() => table.block(at));
    if (at + 2 > table.end) return;
    const [low, high] = await device.read(at, 2);
    const length = (low! | (high! << 8)) & ~METADATA_STORED;
    // Such a header is a finding, and where the next block is nobody knows.
    if (length === 0 || length > METADATA_SIZE) return;
    at += 2 + length;
  }
}

/** Reads the first record of each block. */
async function* checkRecords(table: LookupTable): AsyncGenerator<Finding> {
  for (let number = 0; number < table.records; number += table.perBlock) yield* attempt(() => table.read(number));
}

async function* attempt(read: () => Promise<unknown>): AsyncGenerator<Finding> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof ImgbuildError) || error.code !== "image-corrupt") throw error;
    yield { severity: "error", message: error.message, offset: error.data.offset as number | undefined };
  }
}
