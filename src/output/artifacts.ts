/** The files of a build: the whole image, each partition on its own, boot0, the manifest. */
import * as path from "node:path";
import { type Device, RecordingDevice } from "../bytes/device.js";
import type { Extent } from "../bytes/extent.js";
import { type AssembleOptions, assemble } from "../image/assemble.js";
import { boot0Size, writeBoot0 } from "../image/boot0.js";
import type { PartitionPlan } from "../image/plan.js";
import type { Prepared } from "../image/prepare.js";
import { type Artifact, type Manifest, type ManifestProfile, makeManifest, readManifest } from "./manifest.js";
import { type SparseFile, sha256 } from "./sha256.js";
import type { Workspace } from "./workspace.js";

export const IMAGE = "emmc.img";
export const BOOT0 = "boot0.img";
export const MANIFEST = "manifest.json";

const EXTENSIONS: Readonly<Record<PartitionPlan["filesystem"], string>> = {
  fat: "vfat",
  squashfs: "squashfs",
  ext4: "ext4",
  raw: "img",
};

/** The file that holds a partition on its own. */
export function partitionFile(partition: PartitionPlan): string {
  return `${partition.name}.${EXTENSIONS[partition.filesystem]}`;
}

/** Builds every artifact in `workspace` and puts them into place. Returns the manifest. */
export async function writeArtifacts(
  workspace: Workspace,
  profile: ManifestProfile,
  prepared: Prepared,
  options: AssembleOptions,
): Promise<Manifest> {
  const { plan } = profile;
  const earlier = readManifest(workspace.folder);
  const image = workspace.create(IMAGE);
  const recorder = new RecordingDevice(image);
  const assembled = await assemble(image, recorder, plan, prepared, options);

  const files: SparseFile[] = [{ path: image.path, size: image.size, data: [...recorder.data] }];
  options.stage?.("single partitions");
  for (const { partition, start, used } of assembled.partitions) {
    if (partition.role === "rootfs" && used === 0) continue;
    const file = workspace.create(partitionFile(partition), used);
    const data = await copyData(recorder, start, used, file);
    files.push({ path: file.path, size: used, data });
  }
  const boot0 = boot0Size(plan, prepared);
  if (boot0 !== undefined) {
    const file = workspace.create(BOOT0, boot0);
    const recording = new RecordingDevice(file);
    await writeBoot0(recording, plan, prepared);
    files.push({ path: file.path, size: boot0, data: [...recording.data] });
  }
  options.stage?.("checksums");
  const artifacts: Artifact[] = await Promise.all(
    files.map(async (file) => ({ file: path.basename(file.path), size: file.size, sha256: await sha256(file) })),
  );
  const manifest = makeManifest(profile, prepared, assembled, artifacts);
  const text = new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`);
  await workspace.create(MANIFEST, text.length).write(0, text);
  workspace.commit({ manifest: MANIFEST, stale: staleFiles(earlier) });
  return manifest;
}

/** What an earlier build made, by its manifest. Names with a folder in them are not ours to remove. */
function staleFiles(earlier: Manifest | undefined): string[] {
  return (earlier?.artifacts ?? []).map(({ file }) => file).filter((file) => path.basename(file) === file);
}

/** Copies what was written of [start, start + length) to the beginning of `to`; holes stay holes. Returns where data is in it. */
async function copyData(from: RecordingDevice, start: number, length: number, to: Device): Promise<Extent[]> {
  const chunk = 2 ** 20;
  const data = from.data.intersect(start, start + length);
  for (const extent of data) {
    for (let at = extent.start; at < extent.end; at += chunk) {
      await to.write(at - start, await from.read(at, Math.min(chunk, extent.end - at)));
    }
  }
  return data.map((extent) => ({ start: extent.start - start, end: extent.end - start }));
}
