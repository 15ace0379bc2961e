/** The files beside image.json: archives of file systems, and copies. */

import { display } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import type { TeziPlan } from "../../image/plan.js";
import type { Content } from "../../tree/node.js";
import type { Observer } from "../../tree/observer.js";
import { writeTar } from "../../tree/tar/write-tar.js";
import { nodesOf, type Tree, walk } from "../../tree/tree.js";
import type { Recorded } from "../blocks.js";
import { pieces } from "../blocks.js";
import { CompressedFile } from "../compress.js";
import type { AppendedFile, ArtifactFolder } from "../output.js";

const CHUNK = 2 ** 20;

/** The suffix by which the installer chooses what decompresses a file (getUncompressCommand); undefined: nothing does. */
export function compressionSuffix(name: string): string | undefined {
  return /\.(gz|xz|bz2|lzo|lz4|zst|zip)$/.exec(name)?.[0];
}

/** Writes `tree` as a tar for a file system of the installer. Returns the archive's name. */
export async function writeArchive(
  folder: ArtifactFolder,
  name: string,
  tree: Tree,
  { compression, jobs, observer }: { compression: TeziPlan["compression"]; jobs: number; observer: Observer },
): Promise<string> {
  const archive = compression === "none" ? `${name}.tar` : `${name}.tar.${compression}`;
  const file = folder.append(`tezi/${archive}`);
  if (compression === "none") {
    for await (const piece of writeTar(tree, observer)) await file.write(piece);
    return archive;
  }
  const compressed = await CompressedFile.create(file, compression, jobs);
  try {
    for await (const piece of writeTar(tree, observer)) await compressed.write(piece);
    await compressed.end();
  } finally {
    await compressed.abort();
  }
  return archive;
}

/** What files a tree has, in bytes. */
export function contentBytes(tree: Tree): number {
  let bytes = 0;
  for (const node of new Set(nodesOf(tree))) if (node.type === "file") bytes += node.content.size;
  return bytes;
}

/** Throws a `not-representable` error for what tar cannot unpack onto a FAT. */
export function checkForFat(tree: Tree, partition: string): void {
  for (const { path, node } of walk(tree)) {
    if (node.type === "file" || node.type === "directory") continue;
    throw new ImgbuildError(
      "not-representable",
      `/${display(path)} in ${partition} is a ${node.type}, which no FAT has`,
      {
        hint: "The Toradex Easy Installer unpacks it from a tar: put a file in its place.",
      },
    );
  }
}

/** Copies a file of the host or of the build. */
export async function copyFile(content: Content, file: AppendedFile): Promise<void> {
  const reader = await content.open();
  try {
    for (let at = 0; at < content.size; at += CHUNK) {
      const piece = new Uint8Array(Math.min(CHUNK, content.size - at));
      await reader.read(at, piece);
      await file.write(piece);
    }
  } finally {
    await reader.close();
  }
}

/** Copies [start, start + length) of the image, holes too: the installer has no way to leave them out. */
export async function copyImage(image: Recorded, start: number, length: number, file: AppendedFile): Promise<void> {
  for await (const { bytes } of pieces(image, start, start + length)) await file.write(bytes);
}
