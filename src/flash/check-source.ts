/** Whether an image is whole, as far as that shows before a device is touched. */
import * as path from "node:path";
import { MemoryDevice } from "../bytes/device.js";
import { FileReader } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { MANIFEST } from "../output/artifacts.js";
import type { Artifact } from "../output/manifest.js";
import { readManifest } from "../output/manifest.js";
import { sha256 } from "../output/sha256.js";
import { type PartitionTable, readPartitionTable } from "../partition/index.js";
import type { ImageContent } from "./image-content.js";
import type { ImageSource } from "./image-source.js";

const DAMAGED = "It was cut short, damaged or changed: copy it again. If it is meant so, say --force.";

/** What the manifest beside an image says of it; undefined where there is none, or another file's. */
export function artifactOf({ path: file }: ImageSource): Artifact | undefined {
  return readManifest(path.dirname(file))?.artifacts.find((artifact) => artifact.file === path.basename(file));
}

/** Throws `image-corrupt` where the file itself, as it lies there, has another size or SHA-256. */
export async function checkArtifact({ path: file }: ImageSource, artifact: Artifact): Promise<void> {
  const reader = new FileReader(file);
  const { size } = reader;
  reader.close();
  const differs = (what: string, found: unknown, said: unknown) =>
    new ImgbuildError(
      "image-corrupt",
      `${file} is not what ${MANIFEST} beside it says: its ${what} is ${found}, not ${said}`,
      {
        hint: DAMAGED,
      },
    );
  if (size !== artifact.size) throw differs("length", size, artifact.size);
  const digest = await sha256({ path: file, size, data: [{ start: 0, end: size }] });
  if (digest !== artifact.sha256) throw differs("SHA-256", digest, artifact.sha256);
}

/** Throws `image-corrupt` where a partition ends behind the image. What has no table that can be read is not judged. */
export async function checkPartitionsInside({
  path: file,
  head,
  size,
}: ImageContent & { size: number }): Promise<void> {
  let table: PartitionTable;
  try {
    table = await readPartitionTable(new MemoryDevice(head));
  } catch (error) {
    if (error instanceof ImgbuildError) return;
    throw error;
  }
  for (const { number, start, size: length } of [...table.partitions, ...table.extended]) {
    const end = start + length;
    if (end <= size) continue;
    throw new ImgbuildError(
      "image-corrupt",
      `partition ${number} ends at byte ${end}, and ${file} at byte ${size}: is it complete?`,
      { hint: DAMAGED, data: { partition: number, end, size } },
    );
  }
}
