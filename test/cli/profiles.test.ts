/** What `imgbuild profiles NAME` says of where values come from. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild, makeRoot } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

const BOARD = `extends: ./family.yaml
storage:
  size: 8GiB
partitions:
  rootfs:
    compressor: xz
`;
const FAMILY = "extends: colibri-imx6\nboot:\n  arguments: [quiet]\nstorage: { size: 5GiB }\n";

test("every value is printed with the file, the option or the default that it comes from, in one column", (t) => {
  const cwd = temporaryFolder(t);
  fs.mkdirSync(path.join(cwd, "boards"));
  fs.writeFileSync(path.join(cwd, "boards/board.yaml"), BOARD);
  fs.writeFileSync(path.join(cwd, "boards/family.yaml"), FAMILY);
  const args = ["profiles", "boards/board.yaml", "--set", "seed=mine"];
  const { stdout, stderr } = imgbuild(args, { cwd });
  assert.equal(stderr, "");
  const origin = (line: string) => {
    const found = stdout.split("\n").find((text) => text.trim().startsWith(line));
    return found?.slice(found.indexOf("# ") + 2);
  };
  assert.match(stdout, /^# boards\/board\.yaml, which extends boards\/family\.yaml, which extends colibri-imx6, which/);
  assert.equal(origin("size: 8GiB"), "from boards/board.yaml:3");
  assert.equal(origin("compressor: xz"), "from boards/board.yaml:6");
  assert.equal(origin("arguments:"), "from boards/family.yaml:3");
  assert.equal(origin("seed: mine"), "from --set");
  assert.equal(origin("files: [ { file: SPL"), "from colibri-imx6");
  assert.equal(origin("label: userdata"), "from three-partitions");
  assert.equal(origin("blockSize: 128KiB"), "default");
  assert.equal(origin("size: 5GiB"), undefined);
  const columns = stdout
    .split("\n")
    .slice(1)
    .filter((line) => / {3}# |[^ ] {2}# /.test(line) && line.indexOf("  # ") <= 72)
    .map((line) => line.indexOf("# "));
  assert.ok(columns.length > 40);
  assert.equal(new Set(columns).size, 1);

  const { chain, profile, origins } = JSON.parse(imgbuild([...args, "--json"], { cwd }).stdout);
  assert.deepEqual(
    chain.slice(0, 3).map(({ name }: { name: string }) => name),
    ["boards/board.yaml", "boards/family.yaml", "colibri-imx6"],
  );
  assert.equal(chain[0].file, path.join(fs.realpathSync(cwd), "boards/board.yaml"));
  assert.equal(profile.partitions.rootfs.compressor, "xz");
  assert.equal(profile.partitions.rootfs.blockSize, "128KiB");
  assert.deepEqual(origins["storage.size"], { from: "boards/board.yaml", line: 3 });
  assert.deepEqual(origins["partitions.rootfs.blockSize"], { from: "default" });
  assert.deepEqual(origins.seed, { from: "--set" });
});

test("a default that is printed is what holds: the printed profile resolves to the same", (t) => {
  const cwd = temporaryFolder(t);
  const { profile } = JSON.parse(imgbuild(["profiles", "qemu-arm64", "--json"]).stdout);
  fs.writeFileSync(path.join(cwd, "again.json"), JSON.stringify(profile));
  const again = JSON.parse(imgbuild(["profiles", "./again.json", "--json"], { cwd }).stdout);
  assert.deepEqual(again.profile, profile);
});

test("from what is printed the same image is built: with its seed, and with paths from where it is saved", (t) => {
  const cwd = temporaryFolder(t);
  const root = makeRoot(cwd);
  fs.mkdirSync(path.join(cwd, "boards"));
  fs.writeFileSync(path.join(cwd, "boards/data.bin"), "what the board's maker put there");
  fs.writeFileSync(path.join(cwd, "boards/icon.png"), "");
  const board = [
    "extends: colibri-imx6",
    "storage: { size: 200MiB }",
    "boot: { initramfs: none }",
    "partitions: { rootfs: { size: 16MiB }, data: { filesystem: raw, size: 4MiB, source: data.bin } }",
    'tezi: { productIds: ["0014"], icon: icon.png }',
    "outputs: [img]",
  ];
  fs.writeFileSync(path.join(cwd, "boards/board.yaml"), board.join("\n"));
  const build = (profile: string, out: string) => {
    const result = imgbuild(["build", "-p", profile, root, "-o", out], { cwd });
    assert.equal(result.status, 0, result.stderr);
    return fs.readFileSync(path.join(cwd, out, "emmc.img"));
  };
  const image = build("boards/board.yaml", "a");
  const { stdout } = imgbuild(["profiles", "boards/board.yaml"], { cwd });
  assert.match(stdout, /^seed: board +# default$/m);
  assert.match(stdout, /^ +icon: boards\/icon\.png +# from boards\/board\.yaml:5$/m);
  fs.writeFileSync(path.join(cwd, "printed.yaml"), stdout);
  assert.ok(build("printed.yaml", "b").equals(image));
});

test("a number that would lose digits is refused as it was written", (t) => {
  const cwd = temporaryFolder(t);
  const message = /12345678901234567 has more digits than a number keeps: put it into quotes/;
  const set = imgbuild(["profiles", "colibri-imx6", "--set", "partitions.bootfs.label=12345678901234567"]);
  assert.match(set.stderr, message);
  assert.equal(set.status, 2);
  fs.writeFileSync(path.join(cwd, "board.yaml"), "extends: colibri-imx6\nseed: 12345678901234567\n");
  assert.match(imgbuild(["profiles", "./board.yaml"], { cwd }).stderr, message);
});

test("addresses are printed in hexadecimal", () => {
  const { stdout } = imgbuild(["profiles", "colibri-imx6"]);
  assert.match(stdout, /^ +loadAddress: 0x177fffc0 +# from colibri-imx6$/m);
  assert.match(stdout, /^ +bufferAddress: 0x14420000 +# from colibri-imx6$/m);
});
