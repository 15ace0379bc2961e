import assert from "node:assert/strict";
import { test } from "node:test";
import { type ByteString, fromBytes, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { upperCase } from "../../src/fat/case.js";
import { openFat, writeFat } from "../../src/fat/index.js";
import { contentOf, type Node, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { addNode, lookup } from "../../src/tree/tree.js";
import { lacks } from "../support/tools.js";
import { fsck, makeVolume, mtools, namesIn, OPTIONS, readFile, treeOf, withReader } from "./volume.js";

const MiB = 2 ** 20;

/** Short name and, where there is one, long name of every line that mdir prints for a file. */
function mdirNames(image: string): [short: string, long: string | undefined][] {
  return mtools("mdir", image, "::")
    .split("\n")
    .map((line) => Buffer.from(line, "latin1").toString())
    .map((line) => /^(.{8}) (.{3}) +\d+ \d{4}-\d\d-\d\d +\d+:\d\d *(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, base, extension, long]) => [
      [base!.trimEnd(), extension!.trimEnd()].filter((part) => part !== "").join("."),
      long === "" ? undefined : long,
    ]);
}

test("short names as the specification makes them, with a long one only where it is needed", async (t) => {
  if (lacks(t, "mdir", "fsck.fat")) return;
  // Long name, and what fatgen103 and the case flags make of it: the order on the disk is byte order.
  const names: readonly (readonly [name: string, short: string, long: boolean])[] = [
    [".hidden", "HIDDEN~1", true],
    ["Image.gz", "IMAGE.GZ", true], // "Image" is of both cases, and flags cannot say so
    ["MixedCase.Txt", "MIXEDC~1.TXT", true],
    ["README", "README", false],
    ["TEXT.txt", "TEXT.txt", false],
    ["The quick brown.fox", "THEQUI~1.FOX", true],
    ["a+b=c", "A_B_C~1", true],
    ["archive.tar.gz", "ARCHIV~1.GZ", true],
    ["boot.scr", "boot.scr", false],
    ["imx6dl-colibri-eval-v3.dtb", "IMX6DL~1.DTB", true],
    ["imx6dl-colibri-iris.dtb", "IMX6DL~2.DTB", true],
    ["low.UPP", "low.UPP", false],
    ["zImage", "ZIMAGE", true],
    ["über.txt", "_BER~1.TXT", true],
    ["日本語", "___~1", true],
  ];
  const volume = await makeVolume(t, 4 * MiB, treeOf(Object.fromEntries(names.map(([name]) => [name, "x"]))));
  fsck(volume.image);
  assert.deepEqual(
    mdirNames(volume.image),
    names.map(([name, short, long]) => [short, long ? name : undefined]),
  );
});

test("a name that is short already keeps it, whoever else would like to have it", async (t) => {
  if (lacks(t, "mdir", "fsck.fat")) return;
  const names = ["longfilename.txt", "longfi~1.txt", "LONGFI~2.TXT", "longfilenames.txt"];
  const volume = await makeVolume(t, 4 * MiB, treeOf(Object.fromEntries(names.map((name) => [name, name]))));
  fsck(volume.image);
  assert.deepEqual(Object.fromEntries(mdirNames(volume.image).map(([short, long]) => [long ?? short, short])), {
    "LONGFI~2.TXT": "LONGFI~2.TXT",
    "longfi~1.txt": "longfi~1.txt",
    "longfilename.txt": "LONGFI~3.TXT",
    "longfilenames.txt": "LONGFI~4.TXT",
  });
  for (const name of names) assert.equal(mtools("mtype", volume.image, `::${name}`), name);
});

test("thousands of names that look alike have short names of their own", async (t) => {
  if (lacks(t, "mdir", "fsck.fat")) return;
  const names = Array.from({ length: 12_000 }, (_, i) => `device-tree-overlay-${i}.dtbo`);
  const started = performance.now();
  const volume = await makeVolume(t, 64 * MiB, treeOf(Object.fromEntries(names.map((name) => [name, ""]))));
  assert.ok(performance.now() - started < 5000);
  fsck(volume.image);
  const found = mdirNames(volume.image);
  assert.equal(new Set(found.map(([short]) => short)).size, names.length);
  assert.deepEqual(found.map(([, long]) => long).sort(), names.sort());
});

test("names of every length, and of letters beyond the first plane, come back as they went in", async (t) => {
  const lengths = Array.from({ length: 255 }, (_, i) => "n".repeat(i + 1));
  const odd = [
    "😀 pile of 💩",
    "e\u0301 is not é",
    "İstanbul",
    "ſhort",
    "ß",
    "a\u007fb",
    "~",
    "!{}^#&'@`",
    "#,;=[]+",
    " lead",
  ];
  const names = [...lengths, ...odd, "ü".repeat(255)];
  const volume = await makeVolume(t, 4 * MiB, treeOf(Object.fromEntries(names.map((name) => [name, name]))));
  await withReader(volume.image, async (device) => {
    const reader = await openFat(device);
    assert.deepEqual(await namesIn(reader, ""), names.map(fromText).sort());
    for (const name of names) assert.equal(Buffer.from(await readFile(reader, fromText(name))).toString(), name);
  });
  if (lacks(t, "mdir", "fsck.fat")) return;
  fsck(volume.image);
  assert.deepEqual(
    mdirNames(volume.image)
      .map(([short, long]) => long ?? short)
      .filter((name) => /^n+$/.test(name)),
    lengths,
  );
});

test("what FAT cannot name is refused with its path", async () => {
  const refuse = async (name: ByteString, message: RegExp) => {
    const tree = treeOf({ "boot/": "" });
    const boot = tree.root.entries.get(fromText("boot"))!;
    assert.ok(boot.type === "directory");
    boot.entries.set(name, newFile(contentOf(Buffer.from("x"))));
    await assert.rejects(writeFat(new MemoryDevice(MiB), tree, OPTIONS), { code: "not-representable", message });
  };
  for (const name of ["a:b", "a*", "what?", "<", ">", "|", '"', "back\\slash", "tab\t", "\uffff"]) {
    await refuse(fromText(name), /boot\/.*is not allowed in it/);
  }
  for (const name of ["dot.", "blank ", ". ."]) await refuse(fromText(name), /boot\/.*ends with a dot or a blank/);
  await refuse(fromBytes(Uint8Array.of(0x66, 0xff)), /boot\/f\\xff: it is not UTF-8/);
  await refuse(fromText("😀".repeat(128)), /256 UTF-16 units/);
});

test("names that differ in case only are refused, both of them named", async () => {
  for (const [a, b] of [
    ["Boot.scr", "boot.scr"],
    ["Über", "über"],
    ["ПРИВЕТ", "привет"],
    ["ΣΑΣ", "σας"], // Its last letter has a form of its own, and the same capital.
    ["ÿ", "Ÿ"],
    ["Ａ", "ａ"],
    ["Ǆ", "ǆ"],
  ] as const) {
    await assert.rejects(writeFat(new MemoryDevice(MiB), treeOf({ [`d/${a}`]: "1", [`d/${b}`]: "2" }), OPTIONS), {
      code: "not-representable",
      message: `FAT cannot store both d/${a} and d/${b}: they differ in case only`,
    });
  }
});

test("the table of capitals is exFAT's, by the length and the checksum that every exFAT has", () => {
  // As a volume stores it (7.2.5): units that stay as they are, from some hundreds on, are FFFF and how many.
  const stored: number[] = [];
  for (let unit = 0; unit < 0x10000; ) {
    let end = unit;
    while (end < 0x10000 && upperCase(end) === end) end++;
    if (end - unit >= 512) {
      stored.push(0xffff, end - unit);
      unit = end;
    } else stored.push(upperCase(unit++));
  }
  let sum = 0;
  for (const byte of stored.flatMap((unit) => [unit & 0xff, unit >> 8])) {
    sum = (((sum << 31) | (sum >>> 1)) + byte) >>> 0;
  }
  assert.deepEqual([2 * stored.length, sum], [5836, 0xe619d30d]);
});

test("letters that Unicode has as one, and Windows does not, are two", async (t) => {
  if (lacks(t, "fsck.fat", "mdir")) return;
  // Long s, Kelvin, Angstrom, dotless and dotted i, micro, sharp s, the capital with a small z, letters that came later.
  const names = ["ſ", "s", "\u212a", "k", "\u212b", "å", "ı", "i", "İ", "µ", "μ", "ß", "ẞ", "SS", "ǅ", "ǆ", "ა", "Ა"];
  const files = Object.fromEntries(names.map((name) => [`d/${name}`, name]));
  const { image } = await makeVolume(t, MiB, treeOf(files), OPTIONS);
  fsck(image);
  await withReader(image, async (device) => {
    const reader = await openFat(device);
    for (const name of names) {
      const found = await reader.lookup(fromText(`d/${name}`));
      assert.equal(found?.name, fromText(name));
    }
    assert.equal((await reader.lookup(fromText("D/Å")))?.name, fromText("å"));
    assert.equal((await reader.lookup(fromText("D/ss")))?.name, fromText("SS"));
  });
  assert.equal(mtools("mdir", image, "-b", "::d").trim().split("\n").length, names.length);
});

test("what is no file or folder is refused with its path and what it is", async () => {
  const meta = { mode: 0o777, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 }, xattrs: new Map() };
  const refuse = async (node: Parameters<Map<ByteString, never>["set"]>[1] | object, message: RegExp) => {
    const root = newDirectory();
    root.entries.set(fromText("node"), node as never);
    await assert.rejects(writeFat(new MemoryDevice(MiB), { root }, OPTIONS), { code: "not-representable", message });
  };
  const link = (target: string) => ({ type: "symlink", ...meta, target: fromText(target) });
  await refuse(link("zImage-6.1"), /node: it is a symbolic link to zImage-6\.1, which is not there/);
  await refuse(link("/"), /node: it is a symbolic link to \/, which is a folder/);
  await refuse({ type: "block", ...meta, major: 8, minor: 1 }, /node: it is a block device/);
  await refuse({ type: "socket", ...meta }, /node: it is a socket/);
  const huge = { size: 2 ** 32, open: () => assert.fail("it is not read") };
  await refuse(newFile(huge), /node: it has 4294967296 bytes \(4 GiB\), and 4294967295 is the most/);
});

test("links become copies of the files that they lead to, and a notice says which", async (t) => {
  if (lacks(t, "mtype", "fsck.fat")) return;
  const tree = treeOf({ "zImage-6.1": "kernel", "dtb/board.dtb": "tree" });
  const link = (target: string): Node => ({ type: "symlink", ...newMetadata(0o777), target: fromText(target) });
  addNode(tree, fromText("zImage"), link("zImage-6.1"));
  addNode(tree, fromText("dtb/default"), link("../boot.dtb"));
  addNode(tree, fromText("boot.dtb"), link("/dtb/board.dtb"));
  addNode(tree, fromText("second"), lookup(tree, fromText("zImage-6.1"))!);
  const notices: string[] = [];
  const observer = { notice: (text: string) => void notices.push(text) };
  const volume = await makeVolume(t, MiB, tree, { type: 12, observer });
  fsck(volume.image);
  for (const [name, text] of Object.entries({
    ...{ zImage: "kernel", "zImage-6.1": "kernel", second: "kernel" },
    ...{ "boot.dtb": "tree", "dtb/default": "tree", "dtb/board.dtb": "tree" },
  })) {
    assert.equal(mtools("mtype", volume.image, `::${name}`), text);
  }
  const copies = "boot.dtb, dtb/default, zImage, zImage-6.1";
  assert.deepEqual(notices, [`FAT has no links; stored as copies: ${copies}`]);
  addNode(tree, fromText("around"), link("around"));
  await assert.rejects(writeFat(new MemoryDevice(MiB), tree, OPTIONS), { code: "source-invalid", message: /around/ });
});

test("a folder with more names than FAT can list is refused", async () => {
  const names = Array.from({ length: 32_768 }, (_, i) => [`d/${i} long`, ""]);
  await assert.rejects(writeFat(new MemoryDevice(MiB), treeOf(Object.fromEntries(names)), OPTIONS), {
    code: "not-representable",
    message: /the folder d: its 32768 names take 65538 entries, and 65536 is the most/,
  });
});

test("the label is in the boot sector and in the root, in capitals", async (t) => {
  if (lacks(t, "mlabel", "fsck.fat")) return;
  const notices: string[] = [];
  const observer = { notice: (text: string) => void notices.push(text) };
  const volume = await makeVolume(t, 34 * MiB, treeOf({}), { label: "BootFS", observer });
  fsck(volume.image);
  assert.match(mtools("mlabel", volume.image, "-s", "::"), /BOOTFS/);
  assert.match(mtools("minfo", volume.image, "::"), /disk label="BOOTFS {5}"/);
  assert.match(mtools("mdir", volume.image, "::"), /Volume Serial Number is 1234-ABCD/);
  assert.match(notices.join(), /"BootFS" is stored as "BOOTFS"/);
  for (const label of ["TWELVE CHARS", "a/b", "dot.", "ä", " lead"]) {
    await assert.rejects(makeVolume(t, MiB, treeOf({}), { label }), { code: "not-representable" });
  }
});
