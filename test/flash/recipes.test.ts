/** Which ways to flash are offered for which boards. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { recipesText } from "../../src/flash/recipes.js";
import type { Manifest } from "../../src/output/manifest.js";
import { loadPlan } from "../../src/profile/load.js";

/** The titles of a board's recipes, in their order, and all lines. */
function recipesOf(profile: string) {
  const plan = loadPlan(profile, { folder: "." });
  const artifact = (file: string) => ({ file, size: 2 ** 27, sha256: "" });
  const manifest: Manifest = {
    manifest: 1,
    imgbuild: "0",
    artifacts: ["emmc.img", "rootfs.squashfs"].map(artifact),
    table: { type: "mbr", id: "0" },
    partitions: [
      {
        ...{ name: "rootfs", role: "rootfs", number: 2, offset: 2 ** 26, size: 2 ** 26, filesystem: "squashfs" },
        ...{ used: 2 ** 20, partuuid: "0-02" },
      },
    ],
    boot: { kernel: "zImage", arguments: [] },
    profile: { name: profile, resolved: {} },
  };
  const files = new Set(["emmc.img", "rootfs.squashfs", "manifest.json"]);
  const lines = recipesText({ manifest, plan, folder: "out", files }).split("\n");
  return { titles: lines.filter((line, index) => index > 0 && lines[index - 1] === "" && line !== ""), lines };
}

test("U-Boot's ways are for boards that have one, and machines of QEMU's own are booted", () => {
  assert.deepEqual(
    recipesOf("colibri-imx6")
      .titles.slice(1, 4)
      .map((title) => title.slice(0, 6)),
    Array(3).fill("U-Boot"),
  );
  for (const board of ["raspberrypi3", "raspberrypi4", "raspberrypi5"]) {
    const { titles } = recipesOf(board);
    assert.deepEqual(titles, ["A card in a reader, or an eMMC that shows up as a disk"], board);
  }
  for (const board of ["qemu-arm", "qemu-arm64", "qemu-x86_64"]) {
    const { titles, lines } = recipesOf(board);
    assert.deepEqual(titles, ["QEMU", "A card in a reader, or an eMMC that shows up as a disk"], board);
    assert.ok(lines.includes("  imgbuild boot out"), board);
  }
});
