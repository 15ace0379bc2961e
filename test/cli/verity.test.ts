/** A root with dm-verity's hash tree, as veritysetup and the commands that look into images see it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import type { Manifest } from "../../src/output/manifest.js";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-verity-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const settings = (...list: string[]) => list.flatMap((setting) => ["--set", setting]);
const SMALLER = settings("storage.size=80MiB", "partitions.bootfs.size=40MiB", "partitions.rootfs.verity=true");

let made: { out: string; manifest: Manifest } | undefined;
/** The output of a build. Tests leave it as it is. */
function built() {
  if (made === undefined) {
    const out = path.join(folder, "out");
    const result = imgbuild([...SMALL, ...SMALLER, makeRoot(folder), "-o", out, "--json"]);
    assert.equal(result.status, 0, result.stderr);
    made = { out, manifest: JSON.parse(result.stdout) };
  }
  return made;
}

test("veritysetup verifies the root with the manifest's root hash", (t) => {
  if (lacks(t, "veritysetup")) return;
  const { out, manifest } = built();
  const { offset, verity, used } = manifest.partitions.find(({ role }) => role === "rootfs")!;
  const verify = (file: string, ...options: string[]) =>
    run("veritysetup", ["verify", file, file, verity!.rootHash, `--hash-offset=${verity!.hashOffset}`, ...options]);
  const single = path.join(out, "rootfs.squashfs");
  verify(single);
  assert.equal(fs.statSync(single).size, used);
  // The partition of the whole image, and in it the SquashFS as it is without a tree.
  const partition = path.join(temporaryFolder(t), "partition");
  run("dd", [`if=${out}/emmc.img`, `of=${partition}`, "bs=4096", `skip=${offset / 4096}`, `count=${used / 4096}`]);
  verify(partition);
  if (lacks(t, "unsquashfs")) return;
  assert.match(run("unsquashfs", ["-s", partition]), /Found a valid SQUASHFS/);
});

test("the boot script and the manifest start the kernel with the root hash", () => {
  const { out, manifest } = built();
  const { rootHash } = manifest.partitions.find(({ role }) => role === "rootfs")!.verity!;
  const argument = `imgbuild.verity=${rootHash}`;
  assert.ok(manifest.boot.arguments.includes(argument));
  const script = imgbuild(["cat", `${out}:bootfs`, "boot.scr"]).stdout;
  assert.match(script, new RegExp(` ${argument}[ "]`));
});

test("the same root has the same tree in each build", (t) => {
  const out = path.join(temporaryFolder(t), "out");
  const root = path.join(folder, "rootfs");
  assert.ok(built());
  assert.equal(imgbuild([...SMALL, ...SMALLER, root, "-o", out]).status, 0);
  const read = (from: string) => fs.readFileSync(path.join(from, "emmc.img"));
  assert.ok(read(out).equals(read(built().out)));
});

test("inspect shows the root hash; verify notices a flipped bit, and another tree", (t) => {
  const { out, manifest } = built();
  const { offset, verity } = manifest.partitions.find(({ role }) => role === "rootfs")!;
  assert.match(imgbuild(["inspect", out]).stdout, new RegExp(`dm-verity root hash +${verity!.rootHash}`));
  assert.equal(imgbuild(["verify", out]).status, 0);
  const copy = path.join(temporaryFolder(t), "out");
  fs.cpSync(out, copy, { recursive: true });
  const image = path.join(copy, "emmc.img");
  const flip = (at: number) => {
    const fd = fs.openSync(image, "r+");
    const byte = Buffer.alloc(1);
    fs.readSync(fd, byte, 0, 1, at);
    byte[0]! ^= 1;
    fs.writeSync(fd, byte, 0, 1, at);
    fs.closeSync(fd);
  };
  // The last bytes of the data are padding, which SquashFS does not look at.
  const padding = offset + verity!.hashOffset - 1;
  flip(padding);
  const broken = imgbuild(["verify", image]);
  assert.equal(broken.status, 1);
  assert.match(
    broken.stdout,
    /the data is not what its digests say at bytes \d+ to \d+: the kernel refuses to read it/,
  );
  flip(padding);
  const salt = offset + verity!.hashOffset + 88;
  flip(salt);
  assert.match(imgbuild(["verify", image]).stdout, /its root hash is [0-9a-f]{64}, and manifest\.json says/);
});

test("a root that leaves no room for its tree is refused, with the size that is needed", (t) => {
  const root = path.join(folder, "rootfs");
  assert.ok(built());
  const { hashOffset } = built().manifest.partitions.find(({ role }) => role === "rootfs")!.verity!;
  const build = (size: number) =>
    imgbuild([
      ...SMALL,
      ...SMALLER,
      ...settings(`partitions.rootfs.size=${size}`),
      root,
      "-o",
      path.join(temporaryFolder(t), "out"),
      "--json",
    ]);
  for (const size of [hashOffset, hashOffset - 4096]) {
    const { status, stdout } = build(size);
    assert.equal(status, 1);
    const { code, data } = JSON.parse(stdout).error;
    assert.equal(code, "does-not-fit");
    assert.equal(build(data.needed).status, 0);
    assert.equal(build(data.needed - 4096).status, 1);
  }
});

test("a partition that fits its content fits the tree too", (t) => {
  if (lacks(t, "veritysetup")) return;
  const out = path.join(temporaryFolder(t), "out");
  const root = path.join(folder, "rootfs");
  assert.ok(built());
  const fit = imgbuild([...SMALL, ...SMALLER, ...settings("partitions.rootfs.size=fit"), root, "-o", out, "--json"]);
  assert.equal(fit.status, 0, fit.stderr);
  const { verity } = JSON.parse(fit.stdout).partitions[1];
  const single = path.join(out, "rootfs.squashfs");
  run("veritysetup", ["verify", single, single, verity.rootHash, `--hash-offset=${verity.hashOffset}`]);
  assert.equal(imgbuild(["verify", out]).status, 0);
});

test("two slots: the boot script has the hash of the root in the first, and chooses", (t) => {
  const slots = settings(
    ...["storage.size=96MiB", "partitions.userdata.size=16MiB", "slots.confirm=manual", "update.version=1.0.0"],
    "partitions.other={filesystem: squashfs, role: rootfs, size: 16MiB, verity: true}",
  );
  const root = path.join(folder, "rootfs");
  assert.ok(built());
  const build = (...more: string[]) => {
    const out = path.join(temporaryFolder(t), "out");
    return { out, ...imgbuild([...SMALL, ...SMALLER, ...slots, ...more, root, "-o", out, "--json"]) };
  };
  const { out, status, stdout, stderr } = build();
  assert.equal(status, 0, stderr);
  const { rootHash } = (JSON.parse(stdout) as Manifest).partitions.find(({ role }) => role === "rootfs")!.verity!;
  const script = imgbuild(["cat", `${out}:bootfs`, "boot.scr"]).stdout;
  assert.equal(script.split(rootHash).length, 2);
  assert.match(script, new RegExp(`root_hash_2.*\\n.*setenv boot_hash ${rootHash}\\n`));
  assert.match(script, / imgbuild\.verity=\$\{boot_hash\} /);
  assert.equal(imgbuild(["verify", out]).status, 0);

  const { status: unlike, stdout: refused } = build("--set", "partitions.other.verity=false");
  assert.equal(unlike, 2);
  assert.match(JSON.parse(refused).error.message, /the slot rootfs has verity and the other one has not/);
  // What another program writes into a slot would not be booted.
  const { status: bundled, stdout: error } = build("--format", "swupdate");
  assert.equal(bundled, 2);
  assert.match(JSON.parse(error).error.message, /would have to be told the new root's root hash/);
});
