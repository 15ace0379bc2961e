/** Holds the artifacts of a build against its manifest. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ImgbuildError } from "../errors.js";
import type { OpenedImage } from "../image/open-image.js";
import type { PlacedFinding } from "../image/verify.js";
import { isArtifactName, MANIFEST } from "./artifact-names.js";
import type { Manifest, ManifestPartition } from "./manifest.js";
import { sha256 } from "./sha256.js";

/** What differs of the artifacts in `folder`: missing ones, sizes, checksums. Reads all of them. */
export async function verifyArtifacts(folder: string, { artifacts }: Manifest): Promise<PlacedFinding[]> {
  const findings: PlacedFinding[] = [];
  for (const { file, size, sha256: expected } of artifacts) {
    const add = (message: string) => findings.push({ where: file, severity: "error", message });
    if (!isArtifactName(file)) {
      add(`${MANIFEST} names a file in another folder`);
      continue;
    }
    const found = path.join(folder, file);
    const stat = fs.statSync(found, { throwIfNoEntry: false });
    if (stat === undefined) add(`${MANIFEST} has it, and it is missing`);
    else if (stat.size !== size) add(`it has ${stat.size} bytes, and ${MANIFEST} says ${size}`);
    else {
      const digest = await sha256({ path: found, size, data: [{ start: 0, end: size }] });
      if (digest !== expected) add(`its SHA-256 is ${digest}, and ${MANIFEST} says ${expected}`);
    }
  }
  return findings;
}

/** What differs of the table and the partitions of the whole image. */
export async function verifyPartitions(image: OpenedImage, manifest: Manifest): Promise<PlacedFinding[]> {
  const { table, volumes } = image;
  if (table === undefined) {
    return [
      {
        where: "image",
        severity: "error",
        message: `${MANIFEST} says that it has a ${manifest.table.type}, and it has no partition table`,
      },
    ];
  }
  const findings: PlacedFinding[] = [];
  const differs = (where: string, what: string, found: unknown, said: unknown) => {
    if (found === said) return;
    findings.push({
      where,
      severity: "error",
      message: `${what} is ${shown(found)}, and ${MANIFEST} says ${shown(said)}`,
    });
  };
  differs("the partition table", "its kind", table.kind, manifest.table.type);
  differs("the partition table", "its id", table.id, manifest.table.id);
  for (const said of manifest.partitions) {
    const where = `partition ${said.number} (${said.name})`;
    const volume = volumes.find(({ partition }) => partition?.number === said.number);
    if (volume === undefined) {
      findings.push({ where, severity: "error", message: `${MANIFEST} has it, and the table does not` });
      continue;
    }
    const { start, size, partuuid } = volume.partition!;
    differs(where, "its offset", start, said.offset);
    differs(where, "its size", size, said.size);
    differs(where, "its PARTUUID", partuuid, said.partuuid);
    // A slot without a root has nothing in it yet.
    if (said.filesystem !== "raw" && said.used > 0) {
      differs(where, "its file system", volume.kind, said.filesystem);
      if (volume.kind === said.filesystem)
        await compareFileSystem(said, volume, (...facts) => differs(where, ...facts));
    }
  }
  for (const { partition } of volumes) {
    if (manifest.partitions.some(({ number }) => number === partition!.number)) continue;
    const where = `partition ${partition!.number}`;
    findings.push({ where, severity: "error", message: `the table has it, and ${MANIFEST} does not` });
  }
  return findings;
}

async function compareFileSystem(
  said: ManifestPartition,
  volume: OpenedImage["volumes"][number],
  differs: (what: string, found: unknown, said: unknown) => void,
): Promise<void> {
  try {
    const { uuid, label, details } = await (await volume.open()).facts();
    if (said.verity !== undefined) differs("its root hash", details["dm-verity root hash"], said.verity.rootHash);
    if (said.uuid !== undefined) differs("its UUID", uuid, said.uuid);
    if (said.label !== undefined) differs("its label", label, said.label);
  } catch (error) {
    // That it is damaged is what checking the partition itself reports.
    if (!(error instanceof ImgbuildError)) throw error;
  }
}

const shown = (value: unknown) => (value === undefined ? "nothing that is known here" : `${value}`);
