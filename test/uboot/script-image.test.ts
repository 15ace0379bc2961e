import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { decodeScript, encodeScript } from "../../src/uboot/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const TEXT = "echo hello\nsetenv x 'ä'\n";
const OPTIONS = { name: "boot script", time: 1_600_000_000, architecture: "arm" as const };

function mkimage(folder: string, architecture: string): Buffer {
  const [source, target] = [path.join(folder, "boot.cmd"), path.join(folder, "theirs.scr")];
  fs.writeFileSync(source, TEXT);
  run(
    "mkimage",
    ["-A", architecture, "-O", "linux", "-T", "script", "-C", "none", "-n", OPTIONS.name, "-d", source, target],
    {
      env: { SOURCE_DATE_EPOCH: `${OPTIONS.time}` },
    },
  );
  return fs.readFileSync(target);
}

test("a script image has the bytes that mkimage gives it", (t) => {
  if (lacks(t, "mkimage")) return;
  const folder = temporaryFolder(t);
  for (const architecture of ["arm", "arm64", "x86_64"] as const) {
    assert.deepEqual(Buffer.from(encodeScript(TEXT, { ...OPTIONS, architecture })), mkimage(folder, architecture));
  }
});

test("mkimage and dumpimage take a script image apart", (t) => {
  if (lacks(t, "mkimage", "dumpimage")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "boot.scr");
  fs.writeFileSync(image, encodeScript(TEXT, { ...OPTIONS, architecture: "arm64" }));
  const listed = run("mkimage", ["-l", image], { env: { TZ: "UTC" } });
  assert.match(listed, /Image Name: +boot script\n/);
  assert.match(listed, /Created: +Sun Sep 13 12:26:40 2020/);
  assert.match(listed, /Image Type: +AArch64 Linux Script \(uncompressed\)/);
  const script = path.join(folder, "script");
  run("dumpimage", ["-T", "script", "-p", "0", "-o", script, image]);
  // It takes out the whole payload: the table of lengths, and the script.
  assert.equal(fs.readFileSync(script).subarray(8).toString(), TEXT);
});

test("an image of mkimage is decoded", (t) => {
  if (lacks(t, "mkimage")) return;
  const image = mkimage(temporaryFolder(t), "ppc");
  assert.deepEqual(decodeScript(image), { name: "boot script", time: 1_600_000_000, text: TEXT });
});

test("a damaged image is an error that names the byte", () => {
  const cases: readonly [(image: Uint8Array) => Uint8Array, number, RegExp][] = [
    [(image) => image.subarray(0, 50), 50, /too early/],
    [(image) => image.fill(0, 0, 4), 0, /27 05 19 56/],
    [(image) => image.fill(0x41, 40, 41), 4, /header's checksum/],
    [(image) => image.subarray(0, image.length - 1), 12, /bytes of data/],
    [(image) => image.fill(0x41, image.length - 1), 24, /data's checksum/],
  ];
  for (const [damage, offset, message] of cases) {
    assert.throws(() => decodeScript(damage(encodeScript(TEXT, OPTIONS))), {
      code: "image-corrupt",
      message,
      data: { offset },
    });
  }
});

test("a time beyond 32 bits is moved to the nearest", () => {
  assert.equal(decodeScript(encodeScript(TEXT, { ...OPTIONS, time: 2 ** 32 })).time, 0xffff_ffff);
  assert.equal(decodeScript(encodeScript(TEXT, { ...OPTIONS, time: -5 })).time, 0);
});

test("a name that does not fit is refused", () => {
  assert.throws(() => encodeScript("", { ...OPTIONS, name: "n".repeat(33) }), /legacy_img_hdr\.name/);
});
