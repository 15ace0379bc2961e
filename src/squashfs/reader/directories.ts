/** Directory listings as they are read, run by run, and the search for one name with the help of an index. */
import { type ByteString, display, fromBytes } from "../../bytes/bytestring.js";
import { directoryEntry, directoryHeader, directoryIndex, MAX_NAME, MAX_RUN, METADATA_SIZE } from "../layout.js";
import type { Image } from "./image.js";
import { type DirectoryInode, type InodeType, TYPE_NAMES } from "./inodes.js";
import type { MetadataCursor } from "./metadata.js";

export interface SquashfsEntry {
  readonly name: ByteString;
  readonly type: InodeType;
  readonly inodeNumber: number;
  /** Of the inode, for `readInode`. */
  readonly reference: number;
}

/**
 * The entries of a directory in byte order of their names, run by run: the runs are those of the format, of up to 256
 * entries. `from` is where in the listing to begin, which has to be the header of a run.
 */
export async function* readRuns(
  image: Image,
  directory: DirectoryInode,
  cursor = image.listings.cursor(directory.listing),
  from = 0,
): AsyncGenerator<SquashfsEntry[]> {
  let left = directory.listingSize - from;
  const spend = (length: number): number => {
    left -= length;
    if (left < 0) throw cursor.corrupt(`the listing of directory ${directory.number} ends within an entry`);
    return length;
  };
  const { offsets } = directoryEntry;
  let before = "" as ByteString;
  while (left > 0) {
    const { count, startBlock, inodeNumber } = directoryHeader.read(await cursor.read(spend(directoryHeader.size)));
    if (count >= MAX_RUN) {
      throw cursor.corrupt(`a run of directory ${directory.number} has ${count + 1} entries: ${MAX_RUN} are possible`);
    }
    const run: SquashfsEntry[] = [];
    for (let i = 0; i <= count; i++) {
      spend(directoryEntry.size);
      const bytes = cursor.take(directoryEntry.size) ?? (await cursor.read(directoryEntry.size));
      const inodeOffset = u16At(bytes, offsets.offset);
      const delta = u16At(bytes, offsets.inodeDelta);
      const type = TYPE_NAMES.get(u16At(bytes, offsets.type));
      const nameLength = u16At(bytes, offsets.nameLength) + 1;
      if (nameLength > MAX_NAME) {
        throw cursor.corrupt(`a name has ${nameLength} bytes: ${MAX_NAME} are possible`);
      }
      spend(nameLength);
      const name = fromBytes(cursor.take(nameLength) ?? (await cursor.read(nameLength)));
      checkName(cursor, name, before);
      if (type === undefined) throw cursor.corrupt(`the entry "${display(name)}" has a type that does not exist`);
      before = name;
      run.push({
        name,
        type,
        inodeNumber: inodeNumber + (delta < 0x8000 ? delta : delta - 0x10000),
        reference: startBlock * 0x10000 + inodeOffset,
      });
    }
    yield run;
  }
}

/** There may be millions of entries: they are taken apart by hand. */
const u16At = (bytes: Uint8Array, at: number) => bytes[at]! | (bytes[at + 1]! << 8);

/** Whoever extracts an image makes files with these names: none may lead out of its directory, or hide another. */
function checkName(cursor: MetadataCursor, name: ByteString, before: ByteString): void {
  if (name === "." || name === ".." || name.includes("/") || name.includes("\0")) {
    throw cursor.corrupt(`an entry has the name "${display(name)}", which no file can have`);
  }
  if (name <= before) {
    const how = name === before ? "is there twice" : `comes after "${display(before)}"`;
    throw cursor.corrupt(`the entry "${display(name)}" ${how}: names have to be in order`);
  }
}

/** The entry with this name, or undefined. Reads no more of a large directory than its index makes necessary. */
export async function findEntry(
  image: Image,
  directory: DirectoryInode,
  name: ByteString,
): Promise<SquashfsEntry | undefined> {
  const indexed = await searchIndex(image, directory, name);
  let first = indexed?.name;
  for await (const run of readRuns(image, directory, indexed?.cursor, indexed?.from)) {
    if (first !== undefined && run[0]!.name !== first) {
      throw indexed!.cursor.corrupt(
        `the index of directory ${directory.number} says that "${display(first)}" begins here`,
      );
    }
    first = undefined;
    if (run.at(-1)!.name < name) continue;
    return run.find((entry) => entry.name === name);
  }
  return undefined;
}

interface IndexedRun {
  /** Its first name. */
  readonly name: ByteString;
  /** Where it is in the listing. */
  readonly from: number;
  readonly cursor: MetadataCursor;
}

/** The last run in the index that does not begin behind `name`; undefined when that is the listing's first run. */
async function searchIndex(image: Image, directory: DirectoryInode, name: ByteString): Promise<IndexedRun | undefined> {
  const { index, indexCount, listing, listingSize, number } = directory;
  const cursor = image.inodes.cursor(index);
  let found: IndexedRun | undefined;
  for (let i = 0; i < indexCount; i++) {
    const bytes = cursor.take(directoryIndex.size) ?? (await cursor.read(directoryIndex.size));
    const { listingOffset, startBlock, nameLength } = directoryIndex.read(bytes);
    if (nameLength >= MAX_NAME || listingOffset >= listingSize) {
      throw cursor.corrupt(
        `entry ${i} of the index of directory ${number} has a name of ${nameLength + 1} bytes and byte ${listingOffset} ` +
          `of the listing, which has ${listingSize}`,
      );
    }
    const first = fromBytes(cursor.take(nameLength + 1) ?? (await cursor.read(nameLength + 1)));
    if (first > name) break;
    const position = { block: startBlock, offset: (listing.offset + listingOffset) % METADATA_SIZE };
    found = { name: first, from: listingOffset, cursor: image.listings.cursor(position) };
  }
  return found;
}
