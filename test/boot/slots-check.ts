/** The two root slots, seen from outside: whether they are as they may be after a power cut, and what is said of them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { fromText } from "../../src/bytes/bytestring.js";
import type { ManifestPartition } from "../../src/output/manifest.js";
import { decodeEnvironment, encodeEnvironment } from "../../src/uboot/index.js";
import { partition, type TestImage } from "./image.js";

/** Where the first partition begins, there the slots' environment ends: two copies of 4096 bytes. */
const [ENVIRONMENT_AT, LENGTH] = [2 ** 20 - 8192, 4096];

/**
 * Fails unless slot A still holds what was flashed, and slot B, where it is to be tried, the same root, which is what the tests
 * update to. Returns a line that tells which slot is the root.
 */
export function checkSlots(disk: Buffer, partitions: readonly ManifestPartition[]): string {
  const [a, b] = ["rootfs", "rootfs-b"].map((wanted) => partitions.find(({ name }) => name === wanted)!);
  const variables = slotVariables(disk);
  if (variables === undefined) return "slots: A\n";
  const { slots_id, root_part, root_old, upgrade_available, bootcount, bootlimit } = variables;
  assert.equal(slots_id, a!.partuuid);
  const of = (slot: ManifestPartition) => slot.number.toString(16);
  if (root_part === of(a!)) {
    assert.equal(upgrade_available, "0", JSON.stringify(variables));
    assert.equal(root_old, undefined, "there is nothing to go back to");
    return "slots: A\n";
  }
  assert.deepEqual(
    { root_part, root_old, upgrade_available, bootcount, bootlimit },
    { root_part: of(b!), root_old: of(a!), upgrade_available: "1", bootcount: "0", bootlimit: "3" },
  );
  const content = (slot: ManifestPartition) => disk.subarray(slot.offset, slot.offset + slot.size);
  assert.ok(content(b!).equals(content(a!)), "slot B is to be tried, and is not whole");
  return "slots: B is to be tried\n";
}

/** Puts the first copy of the slots' environment into an image, as an update would have left it. */
export function writeSlotVariables(built: TestImage, variables: Readonly<Record<string, string>>): void {
  const all = { slots_id: partition(built, "rootfs").partuuid!, ...variables };
  const map = new Map(Object.entries(all).map(([name, value]) => [fromText(name), fromText(value)]));
  const file = fs.openSync(built.image, "r+");
  fs.writeSync(file, encodeEnvironment(map, { size: LENGTH, flag: undefined, padding: 0 }), 0, LENGTH, ENVIRONMENT_AT);
  fs.closeSync(file);
}

/** Those of the copy that counts; a copy of zeros, as before the first change, is none. */
export function slotVariables(disk: Buffer): Record<string, string> | undefined {
  const copies = [0, 1].map((i) => disk.subarray(ENVIRONMENT_AT + i * LENGTH, ENVIRONMENT_AT + (i + 1) * LENGTH));
  for (const copy of copies) {
    const found = decodeEnvironment(copy, "single");
    if (found) return Object.fromEntries(found.variables);
  }
  assert.ok(
    copies.some((copy) => copy.every((byte) => byte === 0)),
    "one copy of the environment is whole",
  );
  return undefined;
}
