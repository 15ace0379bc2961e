/** The bytes of files: in blocks, or within the inode (the inline_data feature). */
import type { Extent } from "../../bytes/extent.js";
import { ImgbuildError } from "../../errors.js";
import { type Content, type ContentReader, contentOf } from "../../tree/node.js";
import { inode as inodeLayout } from "../layout.js";
import { type BlockMap, Budget, blockMapOf, dataExtents } from "./block-map.js";
import type { Image } from "./image.js";
import type { FileInode, InodeFacts } from "./inodes.js";
import { attributesInInode } from "./xattr-entries.js";

/** Bytes of one file that are read at once. */
const READ_SIZE = 2 ** 20;
/** The attribute "system.data" holds what does not fit into i_block. */
const INLINE_INDEX = 7;
const INLINE_NAME = "data";

/** The content of `inode`. Goes through its map, so that its holes are known; `budget` is for that. */
export async function contentOfFile(image: Image, inode: FileInode, budget = new Budget(image)): Promise<Content> {
  if (inode.stored.hasInlineData) return inlineContent(inode);
  const data = await dataExtents(image, inode, budget);
  return new FileContent(image, inode, data);
}

/** What is stored within the inode, in its two parts, and where each is in the image. */
export function inlineParts(inode: InodeFacts): { bytes: Uint8Array; at: number }[] {
  const parts = [{ bytes: inode.stored.block, at: inode.at + inodeLayout.offsets.block }];
  for (const { index, name, value, valueAt } of attributesInInode(inode)) {
    if (index === INLINE_INDEX && name === INLINE_NAME && value !== undefined)
      parts.push({ bytes: value, at: valueAt });
  }
  return parts;
}

/** The bytes that are stored within the inode; those of a directory are not in one piece, and `inlineParts` is for them. */
export function inlineBytes(inode: InodeFacts): Uint8Array {
  const parts = inlineParts(inode);
  const whole = new Uint8Array(parts.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of parts) {
    whole.set(bytes, at);
    at += bytes.length;
  }
  return whole.subarray(0, Math.min(inode.size, whole.length));
}

/** A file may end long behind what is stored of it: mke2fs makes files without data such, and the kernel reads zeros there. */
function inlineContent(inode: FileInode): Content {
  const stored = contentOf(inlineBytes(inode));
  return {
    size: inode.size,
    data: [{ start: 0, end: stored.size }],
    async open() {
      const reader = await stored.open();
      return {
        async read(at, into) {
          checkWithin(inode, at, into);
          const length = Math.min(Math.max(0, stored.size - at), into.length);
          await reader.read(at, into.subarray(0, length));
          into.fill(0, length);
        },
        close: () => reader.close(),
      };
    },
  };
}

/** Throws for a range that is not within the file. */
function checkWithin({ size }: { readonly size: number }, at: number, into: Uint8Array): void {
  if (at >= 0 && at + into.length <= size) return;
  throw new ImgbuildError("internal", `bytes ${at} to ${at + into.length} are wanted of a file of ${size} bytes`);
}

class FileContent implements Content {
  readonly data: readonly Extent[];
  readonly #image: Image;
  readonly #inode: InodeFacts;

  constructor(image: Image, inode: InodeFacts, data: readonly Extent[]) {
    this.#image = image;
    this.#inode = inode;
    this.data = data;
  }

  get size(): number {
    return this.#inode.size;
  }

  async open(): Promise<ContentReader> {
    return new FileReader(this.#image, this.#inode, blockMapOf(this.#image, this.#inode));
  }
}

export class FileReader implements ContentReader {
  readonly #image: Image;
  readonly #inode: InodeFacts;
  readonly #map: BlockMap;

  constructor(image: Image, inode: InodeFacts, map: BlockMap) {
    this.#image = image;
    this.#inode = inode;
    this.#map = map;
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    checkWithin(this.#inode, at, into);
    const end = at + into.length;
    const { blockSize } = this.#image.superblock;
    for (let position = at; position < end; ) {
      const run = await this.#map.run(Math.floor(position / blockSize));
      const runEnd = Math.min(end, run.end * blockSize);
      if (run.block === undefined) {
        into.fill(0, position - at, runEnd - at);
        position = runEnd;
        continue;
      }
      const length = Math.min(runEnd - position, READ_SIZE);
      const from = run.block * blockSize + (position - run.start * blockSize);
      into.set(await this.#image.read(from, length), position - at);
      position += length;
    }
  }

  async close(): Promise<void> {}
}
