/** The files beside image.json: archives of file systems, and copies. */

import { display } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import type { TeziPlan } from "../../image/plan.js";
import type { Observer } from "../../tree/observer.js";
import { writeTar } from "../../tree/tar/write-tar.js";
import { nodesOf, type Tree, walk } from "../../tree/tree.js";
import { CompressedFile } from "../compress.js";
import type { ArtifactFolder } from "../output.js";

/** The folder with image.json and all that it names, in the output folder. */
export const TEZI_FOLDER = "tezi";

/** A file beside image.json, as an artifact. */
export const inTezi = (name: string) => `${TEZI_FOLDER}/${name}`;

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
  const file = folder.append(inTezi(archive));
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
