/** The options of `imgbuild ext4`, and the keys of ext4 partitions, as dumpe2fs shows what became of them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { loadPlan } from "../../src/profile/load.js";
import { assertClean, superblockFields } from "../ext4/support.js";
import { imgbuild } from "../support/cli.js";
import { lacks, temporaryFolder } from "../support/tools.js";

/** Runs `imgbuild ext4` in a new folder, and returns what dumpe2fs shows of the image. */
function make(t: TestContext, ...args: readonly string[]): Map<string, string> {
  const folder = temporaryFolder(t);
  const { status, stderr } = imgbuild(["ext4", "image", ...args], { cwd: folder });
  assert.equal(status, 0, stderr);
  const image = path.join(folder, "image");
  assertClean(image);
  return superblockFields(image);
}

test("every option of ext4 arrives in the superblock", (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs")) return;
  const seed = "123e4567-e89b-12d3-a456-426614174000";
  const fields = make(
    t,
    ...["--size", "64MiB", "--features", "ext3,-dir_index", "--grow-to", "16GiB", "--inode-size", "128"],
    ...["--mount-options", "acl,commit=5", "--errors", "remount-ro", "--hash-seed", seed],
    ...["--reserved", "5", "--inode-ratio", "64K", "--journal-size", "8MiB", "--block-size", "2K"],
  );
  for (const [field, value] of [
    ["Filesystem features", "has_journal ext_attr resize_inode filetype sparse_super large_file"],
    ["Default mount options", "acl"],
    ["Mount options", "commit=5"],
    ["Errors behavior", "Remount read-only"],
    ["Directory Hash Seed", seed],
    ["Inode size", "128"],
    ["Inode count", "1024"],
    ["Block size", "2048"],
    ["Reserved block count", String(Math.floor(32_768 * 0.05))],
    ["Total journal size", "8M"],
    // 16 GiB are 512 groups of 32 MiB, with 64 descriptors to a block, of which one is there.
    ["Reserved GDT blocks", "7"],
  ] as const) {
    assert.equal(fields.get(field)?.trim(), value, field);
  }
});

test("a feature is removed with ^, and with - where the value is joined to the option", (t) => {
  if (lacks(t, "e2fsck", "dumpe2fs")) return;
  for (const args of [["--features", "^has_journal,64bit"], ["--features=-has_journal,+64bit"]]) {
    const features = make(t, "--size", "16MiB", ...args).get("Filesystem features")!;
    assert.match(features, /64bit/);
    assert.doesNotMatch(features, /has_journal/);
  }
});

test("what is refused names the feature, the option, the bytes", (t) => {
  const cwd = temporaryFolder(t);
  const message = (...args: readonly string[]) => {
    const result = imgbuild(["ext4", "image", "--size", "16MiB", ...args], { cwd });
    assert.notEqual(result.status, 0);
    return result.stderr;
  };
  assert.match(message("--features", "inline_data"), /inline_data cannot be written/);
  assert.match(message("--hash-seed", "seed"), /--hash-seed seed is not a UUID/);
  assert.match(
    message("--errors", "ignore"),
    /--errors cannot be "ignore"\nhint: Choices for --errors: continue, remount-ro, panic/,
  );
  assert.match(message("--grow-to", "1TiB", "--block-size", "1K"), /cannot be reserved for 1099511627776 bytes/);
});

test("what does not fit fits with the size that the error names, and not with a block less", (t) => {
  if (lacks(t, "e2fsck")) return;
  const cwd = temporaryFolder(t);
  const source = path.join(cwd, "source");
  for (let i = 0; i < 30; i++) {
    fs.mkdirSync(path.join(source, `folder-${i}`), { recursive: true });
    fs.writeFileSync(path.join(source, `folder-${i}`, "file"), Buffer.alloc(i * 40_000, 1));
  }
  for (const features of ["ext4", "ext2"]) {
    const make = (size: string) =>
      imgbuild(["ext4", source, "image", "--size", size, "--features", features, "--json"], { cwd });
    const failed = make("8MiB");
    const { error } = JSON.parse(failed.stdout || failed.stderr);
    assert.equal(error.code, "does-not-fit");
    const { needed, available, over, largest, remedy } = error.data;
    assert.deepEqual([available, over], [8 * 2 ** 20, needed - available]);
    assert.equal(largest.length, 10);
    // Its blocks and its inode: with ext2 also the one that leads to them.
    const blocks = Math.ceil((29 * 40_000) / 4096) + (features === "ext2" ? 1 : 0);
    assert.deepEqual(largest[0], { path: "folder-29/file", bytes: blocks * 4096 + 256 });
    assert.notEqual(make(String(needed - 1)).status, 0);
    for (const size of [String(needed), remedy.replace("--size ", "")]) {
      assert.equal(make(size).status, 0);
      assertClean(path.join(cwd, "image"));
    }
  }
});

test("a partition's features and mount options are checked with the profile", () => {
  const load = (...set: string[]) => loadPlan("qemu-arm64", { folder: "/", set });
  load("partitions.userdata.features=ext3,-dir_index", "partitions.userdata.mountOptions=discard,commit=30");
  for (const [setting, message] of [
    ["partitions.userdata.features=orphan_file", /userdata\.features.*orphan_file cannot be written/s],
    ["partitions.userdata.mountOptions=journal_data,journal_data_ordered", /mountOptions.*exclude each other/s],
    ["partitions.userdata.errors=ignore", /userdata\.errors/],
    ["partitions.userdata.inodeSize=512", /userdata\.inodeSize/],
  ] as const) {
    assert.throws(() => load(setting), { code: "profile-invalid", message });
  }
});
