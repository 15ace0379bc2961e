import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "../../src/bytes/checksum.js";
import { type CompressionFormat, decompress, detectCompression } from "../../src/codecs/decompress.js";
import { ImgbuildError } from "../../src/errors.js";
import { lacks } from "../support/tools.js";

/** Noise and text by turns: literals that no codec can check but by its checksum, and matches at all distances. */
function sample(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = (i >> 12) % 3 === 0 ? state >>> 16 : 0x61 + ((i >> 5) % 20);
  }
  return bytes;
}

const pack = (command: string, input: Buffer) =>
  execFileSync("sh", ["-c", command], { input, maxBuffer: 2 ** 30, stdio: ["pipe", "pipe", "inherit"] });

async function* chunks(bytes: Uint8Array, size = 65_536) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function unpack(bytes: Uint8Array, chunkSize?: number): Promise<Buffer> {
  const format = detectCompression(bytes);
  assert.ok(format);
  const parts: Buffer[] = [];
  for await (const part of decompress(format, chunks(bytes, chunkSize))) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

const COMMANDS: Record<CompressionFormat, string[]> = {
  gzip: ["gzip -1", "gzip -9"],
  xz: [
    "xz -0",
    "xz -9",
    "xz -0 --check=crc32",
    "xz -0 --check=none",
    "xz -0 --check=sha256",
    "xz --armthumb --lzma2=preset=1",
    "xz --delta=dist=4 --lzma2=preset=1",
    "xz -0 --block-size=100000",
  ],
  zstd: ["zstd -q -1", "zstd -q --ultra -20", "zstd -q --no-check", "zstd -q --long=27"],
};

for (const [format, commands] of Object.entries(COMMANDS)) {
  test(`${format}: whole, in small chunks, and in several parts`, async (t) => {
    if (lacks(t, format)) return;
    // 2^18 is the decoder's buffer.
    const inputs = [sample(1_500_000), sample(2 ** 18), sample(2 ** 19), Buffer.alloc(3_000_000), Buffer.alloc(0)];
    for (const command of commands) {
      for (const input of inputs) {
        const packed = pack(command, input);
        assert.equal(detectCompression(packed), format);
        assert.ok((await unpack(packed)).equals(input), `${command}, ${input.length} bytes`);
      }
      const twice = Buffer.concat([pack(command, inputs[0]!), pack(command, inputs[1]!)]);
      assert.ok((await unpack(twice, 1013)).equals(Buffer.concat([inputs[0]!, inputs[1]!])), command);
    }
  });

  test(`${format}: damage anywhere is found`, async (t) => {
    if (lacks(t, format)) return;
    const packed = pack(commands[0]!, sample(300_000));
    const damaged = (error: unknown) => {
      assert.ok(error instanceof ImgbuildError && error.code === "source-invalid" && error.hint, String(error));
      assert.match(error.message, new RegExp(`^the ${format} data is (damaged|followed)`));
      return true;
    };
    for (const share of [0.2, 0.5, 0.8]) {
      const bad = Buffer.from(packed);
      bad[Math.floor(bad.length * share)]! ^= 0x10;
      await assert.rejects(unpack(bad), damaged, `a bit at ${share}`);
      await assert.rejects(unpack(packed.subarray(0, packed.length * share)), damaged, `cut at ${share}`);
    }
    await assert.rejects(unpack(packed.subarray(0, -1)), damaged, "the last byte is missing");
    await assert.rejects(unpack(Buffer.concat([packed, Buffer.from("what is this?")])), damaged, "something follows");
  });

  test(`${format}: errors of the source pass through`, async () => {
    const failure = new Error("the disk is on fire");
    async function* source() {
      yield new Uint8Array(0);
      throw failure;
    }
    await assert.rejects(async () => {
      for await (const _ of decompress(format as CompressionFormat, source()));
    }, failure);
  });
}

test("zstd: matches at distances beyond 2^25, which fzstd gets wrong", async (t) => {
  if (lacks(t, "zstd")) return;
  // Noise, so that the only matches are the repeats, 40 MB apart.
  const noise = Buffer.alloc(300_000);
  let state = 7;
  for (let i = 0; i < noise.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    noise[i] = state >>> 16;
  }
  const input = Buffer.concat([noise, Buffer.alloc(40_000_000), noise]);
  const packed = pack("zstd -q -3 --long=27", input);
  assert.ok(packed.length < 400_000, "the second noise is a match");
  const hash = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  assert.equal(hash(await unpack(packed)), hash(input));
});

test("skippable zstd frames and xz padding", async (t) => {
  if (lacks(t, "zstd", "xz")) return;
  const text = Buffer.from("text");
  const skippable = Buffer.from("502a4d180400000061626364", "hex");
  assert.ok((await unpack(Buffer.concat([pack("zstd -q", text), skippable]))).equals(text));
  const padded = Buffer.concat([pack("xz", text), Buffer.alloc(8), pack("xz", text)]);
  assert.equal((await unpack(padded)).toString(), "texttext");
});

test("what a decoder lacks is named", async (t) => {
  if (lacks(t, "zstd", "xz")) return;
  const unsupported = (pattern: RegExp) => (error: unknown) =>
    error instanceof ImgbuildError && error.code === "source-unsupported" && pattern.test(error.message);
  const text = sample(100_000);
  // Check 2 has no meaning yet (The .xz File Format, section 2.1.1.2); the header has a CRC32 of its flags.
  const unknownCheck = pack("xz --check=crc32", text);
  unknownCheck[7] = 2;
  unknownCheck.writeUInt32LE(crc32(unknownCheck.subarray(6, 8)) >>> 0, 8);
  await assert.rejects(unpack(unknownCheck), unsupported(/a check that liblzma/));
  await assert.rejects(unpack(pack("xz --lzma2=preset=0,dict=1GiB", text)), unsupported(/dictionary/));
  await assert.rejects(unpack(pack("zstd -q --long=30 -", Buffer.alloc(2 ** 20))), unsupported(/128 MiB/));
});
