import assert from "node:assert/strict";
import { test } from "node:test";
import { array, ascii, be16, be32, be64, bytes, size64, struct, u8, u16, u32, u64 } from "../../src/bytes/struct.js";
import fc from "../support/fast-check.js";

const everything = struct("everything", 64, {
  byte: [0, u8],
  little16: [2, u16],
  little32: [4, u32],
  little64: [8, u64],
  size: [16, size64],
  big16: [24, be16],
  big32: [28, be32],
  big64: [32, be64],
  raw: [40, bytes(3)],
  label: [44, ascii(8)],
  padded: [52, ascii(4, " ")],
  list: [56, array(u16, 3)],
});

const values = fc.record({
  byte: fc.nat(255),
  little16: fc.nat(0xffff),
  little32: fc.nat(0xffff_ffff),
  little64: fc.bigInt(0n, 2n ** 64n - 1n),
  size: fc.maxSafeNat(),
  big16: fc.nat(0xffff),
  big32: fc.nat(0xffff_ffff),
  big64: fc.bigInt(0n, 2n ** 64n - 1n),
  raw: fc.uint8Array({ minLength: 3, maxLength: 3 }),
  label: fc.stringMatching(/^[!-~]{0,8}$/),
  padded: fc.stringMatching(/^[!-~]{0,4}$/),
  list: fc.array(fc.nat(0xffff), { minLength: 3, maxLength: 3 }),
});

test("every field comes back, and Buffer's own methods see the same", () => {
  fc.assert(
    fc.property(values, fc.nat(40), (value, at) => {
      const into = new Uint8Array(64 + at + 5).fill(0xee);
      everything.write(into, at, value);
      assert.deepEqual({ ...everything.read(into, at) }, { ...value });
      const buffer = Buffer.from(into.subarray(at, at + 64));
      assert.equal(buffer.readUInt16LE(2), value.little16);
      assert.equal(buffer.readUInt32LE(4), value.little32);
      assert.equal(buffer.readBigUInt64LE(8), value.little64);
      assert.equal(buffer.readBigUInt64LE(16), BigInt(value.size));
      assert.equal(buffer.readUInt16BE(24), value.big16);
      assert.equal(buffer.readUInt32BE(28), value.big32);
      assert.equal(buffer.readBigUInt64BE(32), value.big64);
      assert.equal(buffer.toString("latin1", 44, 52), value.label.padEnd(8, "\0"));
      assert.equal(buffer.toString("latin1", 52, 56), value.padded.padEnd(4, " "));
      assert.equal(buffer.readUInt16LE(60), value.list[2]);
      // What no field covers is zero; what is not the structure's is left alone.
      assert.deepEqual([buffer[1], buffer[26], buffer[43], buffer[63]], [0, 0, 0, 0]);
      assert.ok(into.subarray(0, at).every((byte) => byte === 0xee));
      assert.ok(into.subarray(at + 64).every((byte) => byte === 0xee));
    }),
  );
});

test("fields that are left out are zero", () => {
  assert.deepEqual(everything.encode({}), new Uint8Array(64));
  assert.equal(everything.offsets.big64, 32);
});

test("what does not fit a field is refused with its name", () => {
  const refused: [Partial<Parameters<typeof everything.encode>[0]>, RegExp][] = [
    [{ byte: 256 }, /^everything\.byte: 256 /],
    [{ byte: -1 }, /^everything\.byte/],
    [{ little16: 1.5 }, /^everything\.little16/],
    [{ little32: 2 ** 32 }, /^everything\.little32/],
    [{ big32: Number.NaN }, /^everything\.big32/],
    [{ little64: 2n ** 64n }, /^everything\.little64/],
    [{ big64: -1n }, /^everything\.big64/],
    [{ size: 2 ** 53 }, /^everything\.size/],
    [{ raw: new Uint8Array(4) }, /^everything\.raw/],
    [{ label: "nine char" }, /^everything\.label/],
    [{ label: "é" }, /^everything\.label/],
    [{ list: [1, 2, 3, 4] }, /^everything\.list/],
    [{ list: [1, 65_536] }, /^everything\.list/],
  ];
  for (const [value, message] of refused)
    assert.throws(() => everything.encode(value), { name: "RangeError", message });
});

test("reading beyond the bytes, and sizes beyond 2^53, are refused", () => {
  assert.throws(() => everything.read(new Uint8Array(63)), RangeError);
  assert.throws(() => everything.read(new Uint8Array(100), 37), RangeError);
  assert.throws(() => everything.read(new Uint8Array(100), -1), RangeError);
  assert.throws(() => everything.write(new Uint8Array(63), 0, {}), RangeError);
  const tooLarge = new Uint8Array(64);
  tooLarge[22] = 0x20; // 2^53 in `size`
  assert.throws(() => everything.read(tooLarge), /everything\.size.*2\^53/);
});

test("tables that contradict themselves are refused when they are declared", () => {
  assert.throws(() => struct("x", 8, { a: [0, u32], b: [3, u8] }), /x\.b at 3 overlaps/);
  assert.throws(() => struct("x", 8, { b: [6, u32] }), /x has 8 bytes, but its fields reach to 10/);
});
