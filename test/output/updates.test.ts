/** What RAUC and SWUpdate are given, as they themselves take it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-updates-"));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const settings = (...list: string[]) => list.flatMap((setting) => ["--set", setting]);
const SMALLER = settings("storage.size=96MiB", "partitions.bootfs.size=40MiB", "update.version=1.2.3");
/** In an MBR the second slot comes behind UserData, which therefore cannot take the rest. */
const SLOTS = settings(
  "slots.confirm=manual",
  "partitions.userdata.size=16MiB",
  "partitions.other={filesystem: squashfs, role: rootfs, size: 16MiB}",
);

const root = makeRoot(folder);
const outputs = new Map<string, string>();
/** The output folder of a build. Tests leave it as it is. */
function built(name: string, ...options: string[]): string {
  const out = path.join(folder, name);
  if (!outputs.has(name)) {
    const result = imgbuild([...SMALL, ...SMALLER, ...options, root, "-o", out]);
    assert.equal(result.status, 0, result.stderr);
    outputs.set(name, out);
  }
  return out;
}
const twoSlots = () => built("two", ...SLOTS, "--format", "swupdate,rauc,partitions");
const oneSlot = () => built("one", "--format", "swupdate,partitions");

/** A key, and a certificate that it signed itself, for as long as the test runs. */
function makeKey(folder: string): { key: string; certificate: string } {
  const [key, certificate] = [path.join(folder, "key.pem"), path.join(folder, "cert.pem")];
  run("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=imgbuild test", "-days", "3650"],
    ...["-addext", "extendedKeyUsage=emailProtection,codeSigning", "-keyout", key, "-out", certificate],
  ]);
  return { key, certificate };
}

/** The .swu unpacked, its description signed, and packed again as docs/outputs.md says. */
function signed(swu: string, folder: string, { key, certificate }: ReturnType<typeof makeKey>): string {
  run("cpio", ["--extract", "--quiet", `--file=${swu}`], { cwd: folder });
  run(
    "openssl",
    [
      ...["cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig", "-signer", certificate, "-inkey", key],
      ...["-outform", "DER", "-nosmimecap", "-binary"],
    ],
    { cwd: folder },
  );
  const names = Buffer.from("sw-description\nsw-description.sig\nrootfs.squashfs\n");
  run("cpio", ["--create", "--quiet", "--format=crc", "--file=signed.swu"], { cwd: folder, input: names });
  return path.join(folder, "signed.swu");
}

test("SWUpdate checks the bundle: one root, and each of two slots", (t) => {
  if (lacks(t, "swupdate", "openssl", "cpio")) return;
  const keys = makeKey(folder);
  const check = (out: string, ...options: string[]) => {
    const swu = signed(path.join(out, "update.swu"), temporaryFolder(t), keys);
    return run("swupdate", ["-c", "-i", swu, "-k", keys.certificate, "-H", "board:1.0", "-l", "4", ...options]);
  };
  assert.match(check(oneSlot()), /rootfs\.squashfs|successful|valid/i);
  for (const slot of ["a", "b"]) check(twoSlots(), "-e", `stable,${slot}`);
  // It does look.
  assert.throws(() => check(twoSlots(), "-e", "stable,c"));
  assert.throws(() => check(oneSlot(), "-H", "board:2.0"));
});

test("the .swu has the description first, and the root as it is on its own", (t) => {
  if (lacks(t, "cpio")) return;
  const unpacked = temporaryFolder(t);
  for (const out of [oneSlot(), twoSlots()]) {
    const swu = path.join(out, "update.swu");
    assert.equal(run("cpio", ["--list", "--quiet", `--file=${swu}`]), "sw-description\nrootfs.squashfs\n");
    run("cpio", ["--extract", "--quiet", "--unconditional", `--file=${swu}`], { cwd: unpacked });
    run("cmp", [path.join(unpacked, "rootfs.squashfs"), path.join(out, "rootfs.squashfs")]);
  }
  const description = fs.readFileSync(path.join(unpacked, "sw-description"), "utf8");
  assert.match(description, /version = "1\.2\.3"/);
  // Both slots of the table, by the numbers that the boot script knows them by.
  assert.match(
    description,
    /device = "\/dev\/mmcblk0p2"[^}]*\}\s*\);\s*bootenv: \( \{ name = "root_part"; value = "2"/,
  );
  assert.match(
    description,
    /device = "\/dev\/mmcblk0p4"[^}]*\}\s*\);\s*bootenv: \( \{ name = "root_part"; value = "4"/,
  );
  const [, sha256] = /sha256 = "([0-9a-f]{64})"/.exec(description)!;
  assert.equal(run("sha256sum", [path.join(unpacked, "rootfs.squashfs")]).slice(0, 64), sha256);
});

test("RAUC makes a bundle of the folder, and reads it with the system.conf", (t) => {
  if (lacks(t, "rauc", "openssl", "mksquashfs", "unsquashfs")) return;
  const work = temporaryFolder(t);
  const { key, certificate } = makeKey(work);
  const bundle = path.join(work, "update.raucb");
  const conf = path.join(work, "system.conf");
  const system = fs.readFileSync(path.join(twoSlots(), "rauc/system.conf"), "utf8");
  assert.match(system, /^path=\/etc\/rauc\/keyring\.pem$/m);
  fs.writeFileSync(conf, system.replace("/etc/rauc/keyring.pem", certificate));
  run("rauc", ["bundle", `--cert=${certificate}`, `--key=${key}`, path.join(twoSlots(), "rauc/bundle"), bundle]);
  const info = run("rauc", [`--conf=${conf}`, "info", "--output-format=json", bundle]);
  const facts = JSON.parse(info.slice(info.indexOf("{")));
  assert.deepEqual([facts.compatible, facts.version], ["colibri-imx6", "1.2.3"]);
  assert.match(run("rauc", [`--conf=${conf}`, "info", bundle]), /Format:\s+verity/);
  const [image] = facts.images;
  assert.deepEqual(Object.keys(image), ["rootfs"]);
  assert.equal(image.rootfs.size, fs.statSync(path.join(twoSlots(), "rootfs.squashfs")).size);
});

test("RAUC's backend reads and sets the slot that the boot script boots", (t) => {
  if (lacks(t, "shellcheck")) return;
  const script = path.join(twoSlots(), "rauc/imgbuild-backend.sh");
  run("shellcheck", ["--severity=style", script]);
  const tools = temporaryFolder(t);
  const tool = (name: string, text: string) =>
    fs.writeFileSync(path.join(tools, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  tool("fw_printenv", `cat "${tools}/env-$2"`);
  tool("fw_setenv", `echo "$2" > "${tools}/env-$1"`);
  const backend = (...args: string[]) =>
    run("sh", [script, ...args], { env: { PATH: `${tools}:${process.env.PATH}` } }).trim();
  assert.equal(backend("get-primary"), "A");
  backend("set-primary", "B");
  assert.equal(fs.readFileSync(path.join(tools, "env-root_part"), "utf8"), "4\n");
  assert.equal(backend("get-primary"), "B");
  backend("set-primary", "A");
  assert.equal(fs.readFileSync(path.join(tools, "env-root_part"), "utf8"), "2\n");
  assert.equal(backend("get-state", "B"), "good");
  backend("set-state", "B", "bad");
  assert.equal(backend("get-state", "B"), "bad");
  assert.throws(() => backend("set-primary", "C"));
});

test("what is missing for a bundle is said before anything is built", () => {
  const refuses = (message: RegExp, ...options: string[]) => {
    const result = imgbuild([...SMALL, ...SMALLER, ...options, root, "-o", path.join(folder, "none")]);
    assert.equal(result.status, 2);
    assert.match(result.stderr, message);
    assert.equal(fs.existsSync(path.join(folder, "none")), false);
  };
  refuses(/rauc cannot be made for colibri-imx6: it has one root only/, "--format", "rauc");
  refuses(/is not valid|letters, digits/, "--format", "swupdate", ...settings('update.version=1"; evil'));
});
