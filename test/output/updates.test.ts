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
const NO_VERSION = settings("storage.size=96MiB", "partitions.bootfs.size=40MiB");
const SMALLER = [...NO_VERSION, ...settings("update.version=1.2.3")];
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
const DESCRIPTION = 'a «logger», 5" wide, in C:\\n';
const oneSlot = () =>
  built("one", "--format", "swupdate,partitions", ...settings(`description=${JSON.stringify(DESCRIPTION)}`));

/** A certificate authority, and a key with a certificate of it, for as long as the test runs. */
function makeKey(folder: string): { key: string; certificate: string; authority: string } {
  const file = (name: string) => path.join(folder, name);
  const [key, certificate, authority] = [file("key.pem"), file("cert.pem"), file("ca.pem")] as const;
  const request = ["req", "-newkey", "rsa:2048", "-nodes"];
  run("openssl", [
    ...[...request, "-x509", "-days", "3650", "-subj", "/CN=imgbuild test CA"],
    ...["-addext", "keyUsage=keyCertSign", "-keyout", file("ca-key.pem"), "-out", authority],
  ]);
  run("openssl", [...request, "-subj", "/CN=imgbuild test", "-keyout", key, "-out", file("request.pem")]);
  fs.writeFileSync(file("extensions"), "extendedKeyUsage=emailProtection,codeSigning\n");
  run("openssl", [
    ...["x509", "-req", "-in", file("request.pem"), "-days", "3650", "-extfile", file("extensions")],
    ...["-CA", authority, "-CAkey", file("ca-key.pem"), "-CAcreateserial", "-out", certificate],
  ]);
  return { key, certificate, authority };
}

const signedBy = ({ key, certificate }: { key: string; certificate: string }) =>
  settings(`update.certificate=${certificate}`, `update.key=${key}`);

/** The .swu unpacked, its description signed, and packed again as docs/outputs.md says. */
function signedByHand(swu: string, folder: string, { key, certificate }: ReturnType<typeof makeKey>): string {
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

/** What SWUpdate has refused it sometimes does not end after; what it said counts. */
const swupdateChecks = (swu: string, { authority }: ReturnType<typeof makeKey>, ...options: string[]) =>
  run("timeout", ["60", "swupdate", "-c", "-i", swu, "-k", authority, "-H", "board:1.0", "-l", "5", ...options]);

test("SWUpdate checks the bundle: one root, and each of two slots", (t) => {
  if (lacks(t, "swupdate", "openssl", "cpio")) return;
  const keys = makeKey(temporaryFolder(t));
  const one = signedByHand(path.join(oneSlot(), "update.swu"), temporaryFolder(t), keys);
  const said = swupdateChecks(one, keys, "-e", "stable,rescue");
  assert.match(said, /rootfs\.squashfs|successful|valid/i);
  assert.ok(Buffer.from(said, "latin1").includes(`Description colibri-imx6: ${DESCRIPTION}\n`), said);
  // Without a set it would write over the root that runs.
  assert.throws(() => swupdateChecks(one, keys), /nothing to install/);
  // It does look.
  assert.throws(() => swupdateChecks(one, keys, "-e", "stable,rescue", "-H", "board:2.0"));
  assert.throws(() => swupdateChecks(path.join(oneSlot(), "update.swu"), keys), /sig/i);
  const two = path.join(built("signed", ...SLOTS, "--format", "swupdate", ...signedBy(keys)), "update.swu");
  for (const slot of ["a", "b"]) swupdateChecks(two, keys, "-e", `stable,${slot}`);
  assert.throws(() => swupdateChecks(two, keys, "-e", "stable,c"));
  assert.throws(() => swupdateChecks(two, makeKey(temporaryFolder(t)), "-e", "stable,a"), /[Ss]ignature/);
  // What is signed is the same text, and with an RSA key the same each time.
  assert.equal(
    run("cpio", ["--list", "--quiet", `--file=${two}`]),
    "sw-description\nsw-description.sig\nrootfs.squashfs\n",
  );
  const again = path.join(built("signed-again", ...SLOTS, "--format", "swupdate", ...signedBy(keys)), "update.swu");
  run("cmp", [two, again]);
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

test("one root, and a version that nobody has given, are told", () => {
  const out = path.join(folder, "told");
  const noVersion = [...NO_VERSION, root, "-o", out, "--format"];
  const told = imgbuild([...SMALL, ...noVersion, "swupdate"]).stderr;
  assert.match(
    told,
    /note: update\.swu writes over \/dev\/mmcblk0p2, the one root: only from a rescue system, .*stable,rescue/,
  );
  assert.match(told, /note: update\.swu says version 0: set update\.version/);
  const two = imgbuild([...SMALL, ...SLOTS, ...noVersion, "swupdate,rauc"]).stderr;
  assert.doesNotMatch(two, /rescue/);
  assert.match(two, /note: update\.swu says version 0/);
  assert.match(two, /note: rauc\/bundle\/manifest\.raucm says version 0/);
  const given = imgbuild([...SMALL, ...SLOTS, ...SMALLER, root, "-o", out, "--format", "swupdate,rauc"]).stderr;
  assert.doesNotMatch(given, /version 0/);
});

/** What rauc says of a bundle, with the system.conf of `out`, and whoever `authority` vouches for. */
function raucInfo(out: string, bundle: string, authority: string, work: string) {
  const conf = path.join(work, "system.conf");
  const system = fs.readFileSync(path.join(out, "rauc/system.conf"), "utf8");
  assert.match(system, /^path=\/etc\/rauc\/keyring\.pem$/m);
  fs.writeFileSync(conf, system.replace("/etc/rauc/keyring.pem", authority));
  const info = run("rauc", [`--conf=${conf}`, "info", "--output-format=json", bundle]);
  assert.match(run("rauc", [`--conf=${conf}`, "info", bundle]), /Format:\s+verity/);
  return JSON.parse(info.slice(info.indexOf("{")));
}

const RAUC_TOOLS = ["rauc", "openssl", "mksquashfs", "unsquashfs"] as const;

test("with a certificate and a key the build has RAUC make the bundle: it has the root, and RAUC trusts it", (t) => {
  if (lacks(t, ...RAUC_TOOLS)) return;
  const work = temporaryFolder(t);
  const keys = makeKey(work);
  const out = built("bundled", ...SLOTS, "--format", "rauc,partitions", ...signedBy(keys));
  const bundle = path.join(out, "update.raucb");
  const facts = raucInfo(out, bundle, keys.authority, work);
  assert.deepEqual([facts.compatible, facts.version], ["colibri-imx6", "1.2.3"]);
  assert.deepEqual(
    facts.images.map((image: object) => Object.keys(image)),
    [["rootfs"]],
  );
  // The bundle is a SquashFS with the root in it, and nothing is left of what it was made from.
  run("unsquashfs", ["-no-progress", "-dest", path.join(work, "unpacked"), bundle]);
  run("cmp", [path.join(work, "unpacked/rootfs.squashfs"), path.join(out, "rootfs.squashfs")]);
  assert.deepEqual(fs.readdirSync(path.join(out, "rauc")).sort(), ["imgbuild-backend.sh", "system.conf"]);
  assert.deepEqual(
    fs.readdirSync(out).filter((name) => name.startsWith(".")),
    [],
  );
  const verified = imgbuild(["verify", path.join(out, "rootfs.squashfs")]);
  assert.equal(verified.status, 0, verified.stdout);
  assert.throws(() => raucInfo(out, bundle, makeKey(temporaryFolder(t)).authority, work), /signature|certificate/);
});

test("without them, or without RAUC, there is what it makes a bundle of, and the command for it", (t) => {
  if (lacks(t, ...RAUC_TOOLS)) return;
  const work = temporaryFolder(t);
  const keys = makeKey(work);
  const out = path.join(folder, "inputs");
  const options = [...SMALL, ...SMALLER, ...SLOTS, root, "--format", "rauc,partitions", "-o", out];
  const withoutKey = imgbuild(options);
  assert.match(
    withoutKey.stderr,
    /no update\.certificate and update\.key: `rauc bundle .* rauc\/bundle update\.raucb`/,
  );
  const files = ["bundle", "bundle/manifest.raucm", "bundle/rootfs.squashfs", "imgbuild-backend.sh", "system.conf"];
  assert.deepEqual(fs.readdirSync(path.join(out, "rauc"), { recursive: true }).sort(), files);
  assert.equal(fs.existsSync(path.join(out, "update.raucb")), false);
  const withoutRauc = imgbuild([...options, ...signedBy(keys)], { env: { PATH: work } });
  assert.equal(withoutRauc.status, 0, withoutRauc.stderr);
  const [, command] = /there is no rauc here: `(rauc bundle [^`]*)`, in the output folder/.exec(withoutRauc.stderr)!;
  run("sh", ["-c", command!], { cwd: out });
  const { images } = raucInfo(out, path.join(out, "update.raucb"), keys.authority, work);
  assert.equal(images[0].rootfs.size, fs.statSync(path.join(out, "rootfs.squashfs")).size);
});

test("a program that cannot sign is an error with its own words, and leaves nothing", (t) => {
  if (lacks(t, ...RAUC_TOOLS)) return;
  const work = temporaryFolder(t);
  const keys = makeKey(work);
  const key = path.join(work, "no-key.pem");
  fs.writeFileSync(key, "this is no key");
  const fails = (message: RegExp, format: string, signer: object, env = {}) => {
    const out = path.join(work, "out");
    const options = [...SMALL, ...SMALLER, ...SLOTS, root, "--format", format, "-o", out];
    const { status, stderr } = imgbuild([...options, ...signedBy({ ...keys, ...signer })], { env });
    assert.notEqual(status, 0);
    assert.match(stderr, message);
    assert.deepEqual(fs.existsSync(out) ? fs.readdirSync(out) : [], []);
  };
  fails(/rauc cannot sign the bundle: Failed to create bundle: .*no-key\.pem/, "rauc", { key });
  fails(/openssl cannot sign the bundle: \S/, "swupdate", { key });
  fails(/openssl is not installed/, "swupdate", {}, { PATH: work });
  fails(/update\.key: there is no file .*none\.pem/, "rauc", { key: path.join(work, "none.pem") });
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
  fs.writeFileSync(path.join(folder, "key.pem"), "");
  const refuses = (message: RegExp, ...options: string[]) => {
    const result = imgbuild([...SMALL, ...SMALLER, ...options, root, "-o", path.join(folder, "none")], { cwd: folder });
    assert.equal(result.status, 2);
    assert.match(result.stderr, message);
    assert.equal(fs.existsSync(path.join(folder, "none")), false);
  };
  refuses(/rauc cannot be made for colibri-imx6: it has one root only/, "--format", "rauc");
  refuses(
    /update\.key is of no use without update\.certificate/,
    "--format",
    "swupdate",
    ...settings("update.key=key.pem"),
  );
  refuses(/is not valid|letters, digits/, "--format", "swupdate", ...settings('update.version=1"; evil'));
});
