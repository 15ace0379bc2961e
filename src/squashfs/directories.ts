/**
 * Directory listings: runs of entries below headers, which say once what the entries' inodes have in common. A listing that
 * is longer than a metadata block gets an index, so that looking up a name reads two or three blocks and not all of them.
 */
import type { ByteString } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import {
  DIRECTORY_SIZE_EXTRA,
  directoryEntry,
  directoryHeader,
  INODE_TYPES,
  MAX_NAME,
  MAX_RUN,
  METADATA_SIZE,
} from "./layout.js";
import type { MetadataWriter, Position } from "./metadata.js";
import type { Name, Plan, PlannedDirectory } from "./plan.js";

/** A directory inode counts its index entries in 16 bits. Lookups behind the last one search on from there. */
const MAX_INDEX = 0xffff;
/** An entry has the distance to its header's inode number as a signed 16-bit number. */
const MAX_DELTA = 0x7fff;
const MIN_DELTA = -0x8000;

export interface IndexEntry {
  /** Where in the listing a header is. */
  readonly listingOffset: number;
  /** The metadata block in which that header begins. */
  readonly startBlock: number;
  /** The first name below that header. */
  readonly name: ByteString;
}

export interface Listing {
  readonly position: Position;
  /** As inodes have it: bytes of the listing, and 3. */
  readonly size: number;
  readonly index: readonly IndexEntry[];
}

/** Writes the listing of a directory; the inodes of all its entries have their place already. */
export function writeListing(
  table: MetadataWriter,
  plan: Plan,
  { first: begin, end: behind }: PlannedDirectory,
): Listing {
  const position = table.position;
  const index: IndexEntry[] = [];
  let length = 0;
  /** Where the index points last: at first to the beginning, which needs no entry. */
  let indexed = 0;
  for (let first = begin; first < behind; ) {
    if (first > begin && reaches(length, plan.names[first]!) - indexed > METADATA_SIZE) {
      indexed = length;
      if (index.length < MAX_INDEX) {
        index.push({ listingOffset: length, startBlock: table.position.block, name: plan.names[first]! });
      }
    }
    const end = endOfRun(plan, first, behind, METADATA_SIZE - (length - indexed));
    length += writeRun(table, plan, first, end);
    first = end;
  }
  const size = length + DIRECTORY_SIZE_EXTRA;
  if (size > 0xffffffff) {
    throw new ImgbuildError("not-representable", `a folder of ${behind - begin} entries is too large for SquashFS`, {
      hint: "Spread its entries over several folders: a listing has room for 4 GiB.",
    });
  }
  return { position, size, index };
}

const entrySize = (name: ByteString) => directoryEntry.size + name.length;

/** Where the listing would end after a header and one more entry. */
const reaches = (length: number, name: ByteString) => length + directoryHeader.size + entrySize(name);

const blockOf = (inodeReference: number) => Math.floor(inodeReference / 0x10000);

/** The end of the run that begins with entry `first`: what shares a header, and fits into `room` bytes with it. */
function endOfRun({ names, inodes, numbers, references }: Plan, first: Name, behind: Name, room: number): Name {
  const inode = inodes[first]!;
  const block = blockOf(references[inode]!);
  let length = reaches(0, names[first]!);
  let end = first + 1;
  for (; end < behind && end - first < MAX_RUN; end++) {
    const other = inodes[end]!;
    const delta = numbers[other]! - numbers[inode]!;
    length += entrySize(names[end]!);
    if (blockOf(references[other]!) !== block || delta < MIN_DELTA || delta > MAX_DELTA || length > room) break;
  }
  return end;
}

const entryBytes = new Uint8Array(directoryEntry.size + MAX_NAME);
const entryView = new DataView(entryBytes.buffer);

/** Writes a header and its entries; returns how many bytes they take. */
function writeRun(table: MetadataWriter, plan: Plan, first: Name, end: Name): number {
  const { names, nodes, inodes, numbers, references } = plan;
  const base = inodes[first]!;
  const { offsets } = directoryEntry;
  let length = directoryHeader.size;
  table.write(
    directoryHeader.encode({
      count: end - first - 1,
      startBlock: blockOf(references[base]!),
      inodeNumber: numbers[base]!,
    }),
  );
  // There may be millions of entries: they are put together by hand.
  for (let i = first; i < end; i++) {
    const name = names[i]!;
    const inode = inodes[i]!;
    entryView.setUint16(offsets.offset, references[inode]! % 0x10000, true);
    entryView.setInt16(offsets.inodeDelta, numbers[inode]! - numbers[base]!, true);
    entryView.setUint16(offsets.type, INODE_TYPES[nodes[i]!.type], true);
    entryView.setUint16(offsets.nameLength, name.length - 1, true);
    for (let at = 0; at < name.length; at++) entryBytes[directoryEntry.size + at] = name.charCodeAt(at);
    const size = entrySize(name);
    table.write(entryBytes.subarray(0, size));
    length += size;
  }
  return length;
}
