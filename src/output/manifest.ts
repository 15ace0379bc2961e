/** manifest.json: what was built, for people, for scripts and for `imgbuild boot`. */
import * as fs from "node:fs";
import * as path from "node:path";
import type { AssembledImage } from "../image/assemble.js";
import type { PartitionPlan, PartitionRole, Plan } from "../image/plan.js";
import type { Prepared } from "../image/prepare.js";
import { isArtifactName, partitionFile } from "./artifact-names.js";
import { version } from "./version.js";

export interface Artifact {
  /** With `/` behind the name of a folder: "tezi/image.json". */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
}

export interface ManifestPartition {
  readonly name: string;
  readonly role: PartitionRole;
  readonly number: number;
  /** In bytes from the image's start. */
  readonly offset: number;
  readonly size: number;
  readonly filesystem: PartitionPlan["filesystem"];
  /** How many bytes from its start the file system takes, with the hash tree. */
  readonly used: number;
  /** The hash tree behind it: hexadecimal digits, and bytes from the partition's start. */
  readonly verity?: { readonly rootHash: string; readonly salt: string; readonly hashOffset: number } | undefined;
  readonly partuuid: string;
  readonly uuid?: string | undefined;
  readonly label?: string | undefined;
}

export interface Manifest {
  /** Of this file; a reader that does not know the number must not guess. */
  readonly manifest: 1;
  readonly imgbuild: string;
  readonly artifacts: readonly Artifact[];
  readonly table: { readonly type: string; readonly id: string };
  readonly partitions: readonly ManifestPartition[];
  readonly boot: {
    readonly kernel: string;
    readonly initramfs?: string | undefined;
    readonly arguments: readonly string[];
  };
  readonly profile: {
    readonly name: string;
    /** What the profile's file would say together with everything that it extends. */
    readonly resolved: unknown;
  };
}

/** A plan, and the profile that it was resolved from. */
export interface ManifestProfile {
  readonly plan: Plan;
  readonly resolved: unknown;
}

/** The manifest of a build. The same build gives the same text. */
export function makeManifest(
  { plan, resolved }: ManifestProfile,
  prepared: Prepared,
  assembled: AssembledImage,
  artifacts: readonly Artifact[],
): Manifest {
  return {
    manifest: 1,
    imgbuild: version(),
    artifacts,
    table: { type: plan.storage.table, id: assembled.tableId },
    partitions: assembled.partitions.map(({ partition, start, size, used, uuid, verity, partuuid }) => ({
      name: partition.name,
      role: partition.role,
      number: partition.number,
      offset: start,
      size,
      filesystem: partition.filesystem,
      used,
      partuuid,
      uuid,
      label: "label" in partition ? partition.label : undefined,
      verity: verity && { rootHash: verity.rootHash, salt: verity.salt, hashOffset: verity.hashOffset },
    })),
    boot: {
      kernel: plan.boot.kernel,
      initramfs: prepared.initramfs,
      arguments: [...prepared.kernelArguments, ...(prepared.rootHash ? [prepared.rootHash.argument] : [])],
    },
    profile: { name: plan.profile, resolved },
  };
}

/** The manifest in a folder; undefined where there is none that this version reads. */
export function readManifest(folder: string): Manifest | undefined {
  try {
    const manifest = JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf8")) as Manifest;
    return manifest.manifest === 1 ? manifest : undefined;
  } catch {
    return undefined;
  }
}

/** The partitions that are artifacts on their own, with their files. */
export function singlePartitions({
  artifacts,
  partitions,
}: Manifest): { partition: ManifestPartition; file: string }[] {
  return partitions
    .map((partition) => ({ partition, file: partitionFile(partition) }))
    .filter(({ file }) => isArtifactName(file) && artifacts.some((artifact) => artifact.file === file));
}
