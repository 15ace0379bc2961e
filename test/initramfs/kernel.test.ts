import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { readKernel, releaseOfFileName } from "../../src/initramfs/index.js";
import { lacks, run } from "../support/tools.js";
import { compressed } from "./sample.js";

const CONFIG = "CONFIG_SQUASHFS=y\nCONFIG_EXT4_FS=m\n";
/** Bytes that do not compress. */
function noise(length: number): Buffer {
  let state = 7;
  return Buffer.from(
    Uint8Array.from({ length }, () => {
      state = Math.imul(state, 1_103_515_245) + 12_345;
      return state >>> 16;
    }),
  );
}

/** As an arm64 Image holds them: a format string, the banner, and the configuration (kernel/configs.c). */
const image = Buffer.concat([
  noise(5000),
  Buffer.from("Linux version %s (%s)\0"),
  noise(5000),
  Buffer.from("Linux version 6.6.23-7.1.0-devel+git.1 (oe-user@oe-host) (gcc 13) #1 SMP\n\0"),
  Buffer.from("IKCFG_ST"),
  gzipSync(CONFIG),
  Buffer.from("IKCFG_ED"),
  // Megabytes of init code and data follow in a real kernel.
  noise(500_000),
]);
const facts = { release: "6.6.23-7.1.0-devel+git.1", config: CONFIG };

test("release and configuration are read from an Image", async () => {
  assert.deepEqual(await readKernel(image), facts);
});

for (const suffix of [".gz", ".xz", ".zst"] as const) {
  test(`... and from a kernel with a payload: ${suffix}`, async (t) => {
    if (lacks(t, "xz", "zstd")) return;
    // Magic numbers of all three turn up before the payload; other data follows it.
    const decoys = Buffer.from([0x1f, 0x8b, 8, 1, 2, 0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 9]);
    const kernel = Buffer.concat([noise(999), decoys, noise(50), compressed(image, suffix), noise(500)]);
    assert.deepEqual(await readKernel(kernel), facts);
  });
}

test("... and from an ARM zImage as CONFIG_KERNEL_XZ makes it, with a branch filter", async (t) => {
  if (lacks(t, "xz")) return;
  // scripts/xz_wrap.sh
  const args = ["-c", "--check=crc32", "--arm", "--lzma2=dict=32MiB"];
  const payload = Buffer.from(run("xz", args, { input: image }), "latin1");
  assert.deepEqual(await readKernel(Buffer.concat([noise(999), payload, noise(500)])), facts);
});

test("what is no kernel tells nothing", async () => {
  assert.deepEqual(await readKernel(noise(20_000)), {});
  assert.deepEqual(await readKernel(Buffer.from("Linux version %s (%s)")), {});
});

test("the release in a file name", () => {
  assert.equal(releaseOfFileName("vmlinuz-6.1.0-50-armmp"), "6.1.0-50-armmp");
  assert.equal(releaseOfFileName("zImage-6.6.23+git"), "6.6.23+git");
  assert.equal(releaseOfFileName("zImage"), undefined);
  assert.equal(releaseOfFileName("vmlinuz-linux"), undefined);
});
