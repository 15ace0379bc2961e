/** What the files of a build are called. */
import type { PartitionPlan } from "../image/plan.js";

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
export function partitionFile({ name, filesystem }: Pick<PartitionPlan, "name" | "filesystem">): string {
  return `${name}.${EXTENSIONS[filesystem]}`;
}

/**
 * Whether `file` may name an artifact: a file in the output folder, or in folders of it, with `/` between their names on every
 * host. What a manifest says is not trusted with anything outside.
 */
export function isArtifactName(file: string): boolean {
  return file.split("/").every((name) => name !== "" && name !== "." && name !== ".." && !/[\\:\0]/.test(name));
}
