/**
 * Reads every file of a tree that may be from a damaged image, and goes on where it finds damage: what is said is which paths
 * are affected, and at which byte of the image.
 */
import type { ByteString } from "../bytes/bytestring.js";
import type { Finding } from "../bytes/finding.js";
import { ImgbuildError } from "../errors.js";
import { isDamage } from "../tree/damage.js";
import type { Content } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import { type Tree, walk } from "../tree/tree.js";

/** A file's content is read in such pieces. */
const CHUNK = 2 ** 20;
/**
 * So many bytes of files are read for one of the file system, and a gigabyte for free. No compressor gets beyond it with
 * files that are anybody's; damage, and malice, can make a small image say that it holds petabytes.
 */
const MOST_EXPANSION = 32_768;
const FREE_BYTES = 2 ** 30;

export interface CheckedFiles {
  names: number;
  files: number;
  /** Of the contents, as far as they are not holes and were not the same data as a file's before. */
  bytes: number;
}

/** A finding about a file or folder. */
export interface FileFinding extends Finding {
  readonly path?: ByteString | undefined;
}

/** An error of a reader as a finding, with the path that it is about. Throws all errors that say nothing about the image. */
export function findingOf(error: unknown, path?: ByteString): FileFinding {
  if (!isDamage(error)) throw error;
  const { message, data, code } = error;
  const offset = typeof data.offset === "number" ? data.offset : undefined;
  return { severity: code === "image-corrupt" ? "error" : "warning", message, offset, path };
}

/** Yields which contents cannot be read; counts in `checked`. `size` is the file system's, in bytes. */
export async function* checkContents(
  tree: Tree,
  size: number,
  checked: CheckedFiles,
  observer: Observer = {},
): AsyncGenerator<FileFinding> {
  const seen = new Set<Content>();
  const read = new Set<string>();
  const room = { left: FREE_BYTES + size * MOST_EXPANSION };
  for (const { path, node } of walk(tree)) {
    if (path !== "") checked.names++;
    if (node.type !== "file" || seen.has(node.content)) continue;
    const { content } = node;
    seen.add(content);
    checked.files++;
    observer.progress?.(0, 1);
    if (content.size === 0 || (content.place !== undefined && read.has(content.place))) continue;
    if (content.place !== undefined) read.add(content.place);
    try {
      for await (const length of readAll(content, room)) {
        checked.bytes += length;
        observer.progress?.(length, 0);
      }
    } catch (error) {
      yield findingOf(error, path);
    }
  }
}

/** Reads all that is not a hole, and yields the lengths of the pieces. */
async function* readAll(content: Content, room: { left: number }): AsyncGenerator<number> {
  const reader = await content.open();
  try {
    const buffer = new Uint8Array(Math.min(CHUNK, content.size));
    for (const { start, end } of content.data ?? [{ start: 0, end: content.size }]) {
      for (let at = start; at < end; at += CHUNK) {
        const length = Math.min(CHUNK, end - at);
        room.left -= length;
        if (room.left < 0) {
          throw new ImgbuildError(
            "image-corrupt",
            "the files together are too large for this image: they are not all read",
          );
        }
        await reader.read(at, buffer.subarray(0, length));
        yield length;
      }
    }
  } finally {
    await reader.close();
  }
}
