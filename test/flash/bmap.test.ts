/** Block maps as bmaptool makes them. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { readBlockMap } from "../../src/flash/bmap.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

test("a map of bmaptool says which blocks are data", (t) => {
  if (lacks(t, "bmaptool")) return;
  const folder = temporaryFolder(t);
  const image = path.join(folder, "image");
  const fd = fs.openSync(image, "w");
  // The file system of the host may make its holes larger than these blocks, never smaller than 64 KiB of data.
  for (const at of [0, 2 ** 20, 5 * 2 ** 20]) fs.writeSync(fd, Buffer.alloc(2 ** 16, 7), 0, 2 ** 16, at);
  fs.ftruncateSync(fd, 8 * 2 ** 20 + 100);
  fs.closeSync(fd);
  run("bmaptool", ["create", image, "-o", `${image}.bmap`]);
  const map = readBlockMap(fs.readFileSync(`${image}.bmap`, "utf8"), "image.bmap");
  assert.deepEqual([map.imageSize, map.checksumType], [8 * 2 ** 20 + 100, "sha256"]);
  assert.deepEqual(
    map.ranges.map(({ start, end }) => [start, end]),
    [0, 2 ** 20, 5 * 2 ** 20].map((at) => [at, at + 2 ** 16]),
  );
  const [first] = map.ranges;
  assert.equal(first?.checksum, run("sha256sum", [], { input: Buffer.alloc(2 ** 16, 7) }).slice(0, 64));
});

/** As version 1.3 says it: the checksums have other names. */
const OLD = `<?xml version="1.0" ?>
<bmap version="1.3">
    <ImageSize> 20000 </ImageSize>
    <BlockSize> 4096 </BlockSize>
    <BlocksCount> 5 </BlocksCount>
    <!-- <MappedBlocksCount> 9 </MappedBlocksCount> -->
    <MappedBlocksCount> 3     </MappedBlocksCount>
    <BlockMap>
        <Range sha1="a9993e364706816aba3e25717850c26c9cd0d89d"> 0-1 </Range>
        <Range> 4 </Range>
    </BlockMap>
</bmap>
`;

test("version 1.3, single blocks, and a last block that the image's end cuts", () => {
  const map = readBlockMap(OLD, "old.bmap");
  assert.equal(map.checksumType, "sha1");
  assert.deepEqual(map.ranges, [
    { start: 0, end: 8192, checksum: "a9993e364706816aba3e25717850c26c9cd0d89d" },
    { start: 16384, end: 20000, checksum: undefined },
  ]);
});

test("what is no map, or not as it was made, is refused", () => {
  const refuses = (text: string, message: RegExp) =>
    assert.throws(() => readBlockMap(text, "a.bmap"), { code: "source-invalid", message });
  refuses("", /no <bmap>/);
  refuses(OLD.replace("1.3", "3.0"), /version is 3\.0/);
  refuses(OLD.replace("> 0-1 <", "> 0-2 <"), /4 blocks/);
  refuses(OLD.replace("> 4 <", "> 1 <"), /out of order/);
  refuses(OLD.replace("20000", "many"), /no ImageSize/);
  refuses(OLD.replace(/<Range.*<\/Range>/s, "").replace(/ 3 {5}/, "0"), /names no block of the image/);
  refuses(OLD.replace("a9993e36", "the best!"), /"the best!.*" is no checksum/);
  refuses(OLD.replace("</BlockMap>", "</BlockMap><ChecksumType>none</ChecksumType>"), /the kind "none"/);
  refuses(OLD.replace("<!--", "<!-- <!--").replace("<Range> 4", "<!-- <Range> 4"), /2 blocks/);
  const checksum = `<BmapFileSHA1> ${"12".repeat(20)} </BmapFileSHA1>`;
  refuses(OLD.replace("</BlockMap>", `</BlockMap>${checksum}`), /its own sha1/);
  refuses(OLD.replace("</BlockMap>", `</BlockMap>${checksum}<ChecksumType>none</ChecksumType>`), /the kind "none"/);
});

test("checksums may be of either case, those of the image and the map's own", (t) => {
  if (lacks(t, "bmaptool")) return;
  const image = path.join(temporaryFolder(t), "image");
  fs.writeFileSync(image, Buffer.alloc(2 ** 16, 7));
  run("bmaptool", ["create", image, "-o", `${image}.bmap`]);
  const text = fs.readFileSync(`${image}.bmap`, "utf8");
  const upper = (match: string) => match.toUpperCase();
  const own = /[0-9a-f]{64}(?= *<\/BmapFileChecksum>)/;
  const ranges = text.replace(/(?<=chksum=")[0-9a-f]{64}/g, upper);
  assert.notEqual(ranges, text);
  // The map's own is of the text as it is now, as anybody would make it again.
  const said = run("sha256sum", [], { input: Buffer.from(ranges.replace(own, "0".repeat(64))) }).slice(0, 64);
  const map = readBlockMap(ranges.replace(own, said.toUpperCase()), "image.bmap");
  assert.equal(map.ranges[0]?.checksum, run("sha256sum", [image]).slice(0, 64));
});

test("hostile text is refused in time", { timeout: 20_000 }, () => {
  for (const text of ["<!--", "<Range", "<ImageSize> ", " ", "<bmap ", "<Range> 1 "]) {
    const hostile = OLD.replace("<ImageSize>", `${text.repeat(300_000)}<ImageSize`);
    assert.throws(() => readBlockMap(hostile, "a.bmap"), { code: "source-invalid" }, text);
  }
});
