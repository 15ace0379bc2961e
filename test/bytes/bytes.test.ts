/** Sizes, byte strings, UUIDs, checksums: against published values and what other programs say. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as zlib from "node:zlib";
import {
  type ByteString,
  compareBytes,
  display,
  escapeName,
  fromBytes,
  fromText,
  safeText,
  toBytes,
} from "../../src/bytes/bytestring.js";
import { crc32, crc32c } from "../../src/bytes/checksum.js";
import { alignUp, formatSize, parseSize } from "../../src/bytes/size.js";
import { formatUuid, uuidBytes } from "../../src/bytes/uuid.js";
import { isZero } from "../../src/bytes/zeros.js";
import { seededId, seededUuid } from "../../src/host.js";
import fc from "../support/fast-check.js";

test("byte strings keep any bytes, and compare as bytes do", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 20 }), (a, b) => {
      assert.deepEqual(toBytes(fromBytes(a)), a);
      assert.equal(compareBytes(fromBytes(a), fromBytes(b)), Buffer.compare(a, b));
    }),
  );
  // UTF-16 would put U+10000 before U+FFFD; UTF-8's bytes, and so the formats, do not.
  assert.equal(compareBytes(fromText("\u{10000}"), fromText("\ufffd")), 1);
  assert.deepEqual(toBytes(fromText("é")), new Uint8Array([0xc3, 0xa9]));
});

test("names are displayed as UTF-8 where they are, and never reach the terminal raw", () => {
  assert.equal(display(fromText("grün/日本")), "grün/日本");
  assert.equal(display(fromBytes(new Uint8Array([0x61, 0xff, 0xc3]))), "a\\xff\\xc3");
  assert.equal(display("\x1b[31mred\n\x7f" as ByteString), "\\x1b[31mred\\x0a\\x7f");
  // The C1 controls, which some terminals act on, U+009B as on ESC [.
  assert.equal(display(fromText("\u009b31mred")), "\\xc2\\x9b31mred");
  // A right-to-left override would turn what follows around.
  assert.equal(display(fromText("\u202etxt.exe")), "\\xe2\\x80\\xaetxt.exe");
  // Escaping escapes nothing twice: text may pass more than one place that prints.
  const hostile = display(fromBytes(Uint8Array.from({ length: 256 }, (_, byte) => byte)));
  assert.equal(safeText(hostile), hostile);
  assert.match(hostile, /^[\x20-\x7e]*$/);
  assert.equal(escapeName(fromText("a\\b\u009b")), "a\\\\b\\xc2\\x9b");
});

test("sizes are read and shown in powers of 1024", () => {
  const sizes: [string | number, number][] = [
    ["0", 0],
    ["4096", 4096],
    [4096, 4096],
    ["64K", 65_536],
    ["64KiB", 65_536],
    ["64kb", 65_536],
    ["1.5GiB", 1_610_612_736],
    ["16 MiB", 16_777_216],
    ["100 B", 100],
    ["2T", 2_199_023_255_552],
  ];
  for (const [text, bytes] of sizes) assert.equal(parseSize(text), bytes, String(text));
  for (const text of [
    "",
    "-1",
    "1.5",
    "0.3K",
    "12 apples",
    "K",
    "1KK",
    "0x10",
    "1e3",
    "9999999T",
    Number.NaN,
    -5,
    1.5,
  ]) {
    assert.throws(() => parseSize(text), { code: "usage" }, String(text));
  }
  const shown: [number, string][] = [
    [0, "0 bytes"],
    [1, "1 byte"],
    [1023, "1023 bytes"],
    [1024, "1 KiB"],
    [1536, "1.5 KiB"],
    [64 * 2 ** 20, "64 MiB"],
    [1.5 * 2 ** 30, "1.5 GiB"],
  ];
  for (const [bytes, text] of shown) assert.equal(formatSize(bytes), text);
});

test("aligning rounds up, beyond 32 bits too", () => {
  assert.equal(alignUp(0, 512), 0);
  assert.equal(alignUp(1, 512), 512);
  assert.equal(alignUp(512, 512), 512);
  assert.equal(alignUp(2 ** 40 + 1, 4096), 2 ** 40 + 4096);
});

test("crc32 is zlib's, in one piece and in many", (t) => {
  assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926); // the catalogues' check value
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
      assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), crc32(bytes));
      // The trailer of a gzip file: CRC-32 and length (RFC 1952).
      assert.equal(crc32(bytes), Buffer.from(zlib.gzipSync(bytes)).readUInt32LE(zlib.gzipSync(bytes).length - 8));
    }),
  );
  t.diagnostic("checked against zlib's gzip trailers");
});

test("crc32c has the published values", () => {
  const inverted = (bytes: Uint8Array) => (crc32c(bytes, 0xffff_ffff) ^ 0xffff_ffff) >>> 0;
  assert.equal(inverted(Buffer.from("123456789")), 0xe3069283);
  // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, ascending and descending.
  assert.equal(inverted(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(inverted(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(inverted(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(inverted(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
});

test("seeded UUIDs are version 8, variant 10, and follow from their parts", () => {
  const uuid = seededUuid("seed", "rootfs");
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(seededUuid("seed", "rootfs"), uuid);
  assert.notEqual(seededUuid("seedrootfs"), uuid);
  assert.notEqual(seededUuid("seedr", "ootfs"), uuid);
  const digest = createHash("sha256").update('["seed","rootfs"]').digest("hex");
  assert.equal(uuid.slice(0, 13), `${digest.slice(0, 8)}-${digest.slice(8, 12)}`);
  assert.notEqual(seededId("seed"), 0);
  assert.ok(Number.isInteger(seededId("a")) && seededId("a") < 2 ** 32);
});

test("UUIDs become bytes in the order in which they are printed", () => {
  const uuid = "00112233-4455-6677-8899-aabbccddeeff";
  assert.equal(Buffer.from(uuidBytes(uuid)).toString("hex"), "00112233445566778899aabbccddeeff");
  assert.equal(formatUuid(uuidBytes(uuid)), uuid);
  assert.deepEqual(uuidBytes(uuid.toUpperCase()), uuidBytes(uuid));
  for (const text of ["", "00112233", `${uuid}0`, uuid.replace("-", "0")])
    assert.throws(() => uuidBytes(text), RangeError);
});

test("zeros are told from bytes of which a single one is not", () => {
  fc.assert(
    fc.property(fc.nat(200_000), fc.nat(9), fc.nat(9), fc.nat(), (length, before, after, at) => {
      // Behind an odd number of bytes, and with others that are no zeros around.
      const bytes = new Uint8Array(before + length + after).fill(1);
      bytes.fill(0, before, before + length);
      assert.ok(isZero(bytes, before, before + length));
      assert.ok(isZero(bytes.subarray(before, before + length)));
      if (length === 0) return;
      bytes[before + (at % length)] = 0x80;
      assert.ok(!isZero(bytes, before, before + length));
      assert.ok(!isZero(bytes.subarray(before, before + length)));
    }),
    { numRuns: 300 },
  );
  assert.ok(isZero(new Uint8Array(new SharedArrayBuffer(100_000), 1)));
});
