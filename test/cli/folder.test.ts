/** Output folders without the whole image: what of them can be looked into, and what is said of the rest. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-folder-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const out = path.join(folder, "out");
const result = imgbuild([...SMALL, makeRoot(folder), "--format", "partitions", "-o", out]);
assert.equal(result.status, 0, result.stderr);

test("PART of a folder is the partition's file, by its name, number or label", () => {
  for (const part of ["rootfs", "2"]) {
    assert.equal(imgbuild(["cat", `${out}:${part}`, "etc/hostname"]).stdout, "board\n", part);
  }
  assert.match(imgbuild(["ls", `${out}:BOOT`]).stdout + imgbuild(["ls", `${out}:bootfs`]).stdout, /^zImage$/m);
  assert.match(
    imgbuild(["inspect", `${out}:userdata`]).stdout,
    /userdata\.ext4: .* built from the profile colibri-imx6/,
  );
  const { status, stderr } = imgbuild(["ls", `${out}:nope`]);
  assert.equal(status, 1);
  assert.match(
    stderr,
    /there is no emmc\.img in the folder .*\nhint: .*--format img.*out:bootfs, .*out:rootfs, .*out:userdata\.$/m,
  );
  assert.match(imgbuild(["inspect", out]).stderr, /out:rootfs/);
});

test("verify checks the partitions that there are, and every artifact", (t) => {
  const sound = imgbuild(["verify", out]);
  assert.equal(sound.status, 0, sound.stdout);
  assert.equal(sound.stdout, `${out}: sound\n`);
  for (const line of [
    /rootfs\.squashfs: .* names/,
    /bootfs\.vfat: .* names/,
    /userdata\.ext4: .* names/,
    /3 artifacts/,
  ])
    assert.match(sound.stderr, line);

  const copy = path.join(temporaryFolder(t), "copy");
  fs.cpSync(out, copy, { recursive: true });
  const root = path.join(copy, "rootfs.squashfs");
  const bytes = fs.readFileSync(root);
  bytes.writeUInt32LE(0, 0);
  fs.writeFileSync(root, bytes);
  fs.rmSync(path.join(copy, "bootfs.vfat"));
  const broken = imgbuild(["verify", copy, "--json"]);
  assert.equal(broken.status, 1);
  const { sound: isSound, findings } = JSON.parse(broken.stdout);
  assert.equal(isSound, false);
  const found = findings.map(({ where, message }: { where: string; message: string }) => `${where}: ${message}`);
  assert.equal(found.length, 3, found.join("\n"));
  assert.match(found[0], /^rootfs\.squashfs: .*no image/);
  assert.match(found.slice(1).sort()[0], /^bootfs\.vfat: .*missing/);
  assert.match(found.slice(1).sort()[1], /^rootfs\.squashfs: its SHA-256/);

  assert.match(
    imgbuild(["verify", folder]).stderr,
    /there is no emmc\.img in the folder .*\nhint: Give the output folder/,
  );
});

test("what has to be unpacked first is named, with how", (t) => {
  const cwd = temporaryFolder(t);
  const packed = (name: string, magic: readonly number[], message: RegExp, hint: RegExp) => {
    fs.writeFileSync(path.join(cwd, name), Buffer.concat([Buffer.from(magic), Buffer.alloc(4096, 0x17)]));
    for (const command of ["inspect", "verify", "ls"]) {
      const { status, stderr } = imgbuild([command, name], { cwd });
      assert.equal(status, 1);
      assert.match(stderr, message);
      assert.match(stderr, hint);
    }
    fs.cpSync(path.join(out, "manifest.json"), path.join(cwd, "manifest.json"));
    assert.match(imgbuild(["inspect", "."], { cwd }).stderr, new RegExp(`hint: ${name} has it:${hint.source}`, "m"));
    fs.rmSync(path.join(cwd, name));
    fs.rmSync(path.join(cwd, "manifest.json"));
  };
  packed(
    "emmc.img.zst",
    [0x28, 0xb5, 0x2f, 0xfd],
    /emmc\.img\.zst is compressed with zstd/,
    / zstd -d emmc\.img\.zst$/m,
  );
  packed("emmc.img.gz", [0x1f, 0x8b, 8, 0], /emmc\.img\.gz is compressed with gzip/, / gunzip -k emmc\.img\.gz$/m);
  packed("emmc.img.xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], /is compressed with xz/, / xz -dk emmc\.img\.xz$/m);
  packed("emmc.simg", [0x3a, 0xff, 0x26, 0xed], /is an Android sparse image/, / simg2img .* emmc\.img/m);
});
