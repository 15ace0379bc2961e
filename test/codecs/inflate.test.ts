/** The decoder against zlib: what it makes, what it accepts, and what it says of everything else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, deflateSync, inflateSync, type ZlibOptions } from "node:zlib";
import { createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import { hardInputs, noise, numbers, records, text } from "./deflate-data.js";
import { Bits, PRECODE, zeros } from "./inflate-data.js";

const MAX = 2 ** 20;
/** For what is damaged: no more than its original. */
const ROOM = 2 ** 15;
const decompressor = await createDecompressor("zlib");
const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const GUARD = Buffer.alloc(MAX + 64, 0xa5);
const guarded = Buffer.alloc(MAX + 64);

/** Decodes between guard bytes, and checks that these are still there. */
function inflate(input: Uint8Array, room: number): Uint8Array {
  guarded.fill(0xa5, 0, room + 64);
  let length = 0;
  try {
    length = decompressor.decompress(input, new Uint8Array(guarded.buffer, 32, room));
    return guarded.subarray(32, 32 + length);
  } finally {
    assert.equal(GUARD.compare(guarded, 0, 32, 0, 32), 0);
    assert.equal(GUARD.compare(guarded, 32 + length, room + 64, 0, room + 32 - length), 0);
  }
}

/** What is said of damaged data. */
function complaint(input: Uint8Array, room = ROOM): string {
  try {
    inflate(input, room);
  } catch (error) {
    assert.ok(error instanceof ImgbuildError && error.code === "image-corrupt", String(error));
    return error.message;
  }
  return "";
}

const { Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants;
/** Every level, strategy and window; short blocks and long ones. */
const ENCODERS: readonly ZlibOptions[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => ({ level })),
  ...[Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE].map((strategy) => ({ strategy })),
  ...[9, 10, 11, 12, 13, 14].map((windowBits) => ({ windowBits })),
  { memLevel: 1 },
  { memLevel: 9 },
  { strategy: Z_FIXED, memLevel: 1, windowBits: 9 },
];

test("what zlib encodes comes back, by every level, strategy and window", () => {
  for (const [name, input] of hardInputs()) {
    // The large ones are the same to a decoder, again and again.
    for (const options of input.length > 2 ** 18 ? ENCODERS.filter(({ level = 1 }) => level <= 1) : ENCODERS) {
      const output = inflate(deflateSync(input, options), input.length);
      assert.ok(sameBytes(output, input), `${name}, ${JSON.stringify(options)}`);
    }
  }
});

test("what our encoder encodes comes back", async () => {
  const compressed = new Uint8Array(MAX + 2 ** 15);
  for (const level of [1, 6, 9]) {
    const compressor = await createCompressor({ codec: "zlib", options: { level } });
    for (const [name, input] of hardInputs()) {
      if (level === 9 && input.length > 2 ** 18) continue;
      const length = compressor.compress(input, compressed);
      assert.ok(sameBytes(inflate(compressed.subarray(0, length), input.length), input), `${name}, level ${level}`);
    }
  }
});

test("empty blocks, stored and fixed, between the others", () => {
  // Without its last block a stream ends within; the next one is put behind it.
  const parts = [text(5000, 1), text(3000, 2)] as const;
  const flushed = deflateSync(parts[0], { finishFlush: constants.Z_SYNC_FLUSH });
  const whole = Buffer.concat([flushed, deflateSync(parts[1]).subarray(2, -4), Buffer.alloc(4)]);
  const expected = Buffer.concat(parts);
  whole.writeUInt32BE(adler32(expected), whole.length - 4);
  assert.ok(sameBytes(inflateSync(whole), expected), "the test's own stream");
  assert.ok(sameBytes(inflate(whole, expected.length), expected));
  const empty = new Bits().header(false, 0).bytes(0, 0, 0xff, 0xff).header(false, 1).code("0000000").header(true, 1);
  assert.equal(inflate(empty.code("0000000").zlib(), 0).length, 0);
});

/** Adler-32 as RFC 1950, section 8.2 defines it, byte by byte. */
function adler32(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65521;
    high = (high + low) % 65521;
  }
  return high * 65536 + low;
}

test("matches of every offset and length are copied", () => {
  const start = noise(300, 5);
  for (let offset = 1; offset <= 40; offset++) {
    for (const length of [3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 257, 258]) {
      const input = new Uint8Array(start.length + length + 1);
      input.set(start);
      for (let i = 0; i < length; i++) input[300 + i] = input[300 + i - offset]!;
      input[300 + length] = ~input[300 + length - offset]!;
      assert.ok(sameBytes(inflate(deflateSync(input), input.length), input), `${length} bytes ${offset} back`);
    }
  }
});

test("codes with one codeword, and with none, are read as zlib reads them", () => {
  // Literals: 0 with one bit, 256 and 257 with two; offsets: one of one bit, or none.
  const head = (offsets: string) => {
    const bits = new Bits().header(true, 2).codes(258, 1, PRECODE).code("01");
    return zeros(bits, 255).code("10").code("10").code(offsets);
  };
  const one = head("01").code("0").code("11").code("0").code("10").zlib([0, 4, 0, 1]);
  assert.ok(sameBytes(inflate(one, 10), inflateSync(one)));
  assert.equal(inflate(one, 10).length, 4);
  const none = head("00").code("00").code("10").zlib([0, 2, 0, 1]);
  assert.ok(sameBytes(inflate(none, 10), inflateSync(none)));
  assert.equal(inflate(none, 10).length, 2);
  assert.match(complaint(head("01").code("0").code("11").code("1").zlib()), /codeword stands for nothing/);
  assert.match(complaint(head("00").code("0").code("11").code("0").zlib()), /codeword stands for nothing/);
});

const good = deflateSync(text(3000, 9));
const changed = (at: number, to: number) => good.with(at < 0 ? good.length + at : at, to);
/** A block with codes of its own in which just the literals and lengths `lengths` have codewords, by PRECODE. */
const codes = (litlens: number, lengths: (bits: Bits) => Bits) =>
  lengths(new Bits().header(true, 2).codes(litlens, 1, PRECODE)).zlib();

const DAMAGED: readonly [name: string, RegExp, Uint8Array][] = [
  ["nothing", /ends early/, new Uint8Array(0)],
  ["one byte", /ends early/, Uint8Array.of(0x78)],
  ["another method", /zlib header/, Uint8Array.of(0x79, 0x9d - 2, 3, 0, 0, 0, 0, 1)],
  ["a window of 64 KiB", /zlib header/, Uint8Array.of(0x88, 0x1c, 3, 0, 0, 0, 0, 1)],
  ["wrong check bits", /zlib header/, changed(1, good[1]! ^ 1)],
  ["a preset dictionary", /preset dictionary/, deflateSync(text(100, 1), { dictionary: Buffer.from("abc") })],
  ["block type 3", /type that there is not/, new Bits().header(true, 3).zlib()],
  ["a stored block's length", /complement/, new Bits().header(true, 0).bytes(1, 0, 0xff, 0xff, 7).zlib()],
  ["287 literals and lengths", /more symbols/, new Bits().header(true, 2).codes(287, 1, PRECODE).zlib()],
  ["31 offsets", /more symbols/, new Bits().header(true, 2).codes(257, 31, PRECODE).zlib()],
  [
    "a repeat at first",
    /repeats a codeword length/,
    new Bits().header(true, 2).codes(257, 1, { 0: 1, 16: 1 }).code("1").number(0, 2).zlib(),
  ],
  ["a repeat beyond the last", /repeats a codeword length/, codes(257, (bits) => zeros(bits, 276))],
  [
    "an over-subscribed precode",
    /over-subscribed/,
    new Bits().header(true, 2).codes(257, 1, { 0: 1, 1: 1, 2: 1 }).zlib(),
  ],
  ["an incomplete precode", /incomplete/, new Bits().header(true, 2).codes(257, 1, { 0: 1, 1: 2 }).zlib()],
  ["a precode of one", /incomplete/, new Bits().header(true, 2).codes(257, 1, { 0: 1 }).zlib()],
  [
    "over-subscribed literals",
    /over-subscribed/,
    codes(257, (b) => zeros(b.code("01").code("01"), 254).code("01").code("01")),
  ],
  ["incomplete literals", /incomplete/, codes(257, (b) => zeros(b.code("01"), 255).code("10").code("01"))],
  ["no end of block", /no end of block/, codes(257, (b) => zeros(b.code("01").code("01"), 254).code("00").code("01"))],
  ["length symbol 286", /stands for nothing/, new Bits().header(true, 1).code("11000110").zlib()],
  ["length symbol 287", /stands for nothing/, new Bits().header(true, 1).code("11000111").zlib()],
  [
    "offset symbol 30",
    /stands for nothing/,
    new Bits().header(true, 1).code("00110000").code("0000001").code("11110").zlib(),
  ],
  ["a match at first", /too far back/, new Bits().header(true, 1).code("0000001").code("00000").zlib()],
  [
    "a match one too far",
    /too far back/,
    new Bits().header(true, 1).code("00110000").code("0000001").code("00001").zlib(),
  ],
  ["a checksum", /checksum does not match/, changed(-1, good.at(-1)! ^ 1)],
  ["a byte more", /something follows/, Buffer.concat([good, Buffer.alloc(1)])],
];

for (const [name, expected, input] of DAMAGED) {
  test(`refused: ${name}`, () => {
    assert.match(complaint(input), expected);
    if (name !== "a byte more") assert.throws(() => inflateSync(input), "zlib accepts it");
  });
}

test("a stream that is cut anywhere ends early", () => {
  const streams = [good, ...ENCODERS.map((options) => deflateSync(text(400, 3), options))];
  for (const stream of [...streams, deflateSync(new Uint8Array(0)), deflateSync(noise(300, 1))]) {
    for (let length = 0; length < stream.length; length++) {
      assert.match(complaint(stream.subarray(0, length)), /ends early/, `${length} of ${stream.length} bytes`);
    }
  }
});

test("a result that is longer than its place is refused, and one that fits exactly is not", () => {
  for (const input of [noise(5000, 1), text(5000, 1), new Uint8Array(5000), text(100_000, 2), noise(100_000, 2)]) {
    for (const options of ENCODERS) {
      const compressed = deflateSync(input, options);
      assert.ok(sameBytes(inflate(compressed, input.length), input));
      for (const room of [0, 1, 17, input.length >> 1, input.length - 258, input.length - 1]) {
        assert.match(complaint(compressed, room), /longer than its place/);
      }
    }
  }
  // More than a block can have, in a place that has the room.
  const large = new Uint8Array(2 * MAX);
  const refused = (input: Uint8Array) => assert.throws(() => decompressor.decompress(input, large), ImgbuildError);
  refused(deflateSync(new Uint8Array(MAX + 1)));
  refused(deflateSync(noise(2 * MAX, 1)));
  assert.ok(large.every((byte) => byte === 0));
});

/** zlib's messages (inflate.c) for what ours says. */
const ZLIB_SAYS: Readonly<Record<string, RegExp>> = {
  "unexpected end of file": /ends early/,
  "incorrect header check": /zlib header/,
  "unknown compression method": /zlib header/,
  "invalid window size": /zlib header/,
  "Missing dictionary": /preset dictionary/,
  "invalid block type": /type that there is not/,
  "invalid stored block lengths": /complement/,
  "too many length or distance symbols": /more symbols/,
  "invalid code lengths set": /over-subscribed|incomplete/,
  "invalid bit length repeat": /repeats a codeword length/,
  "invalid code -- missing end-of-block": /no end of block/,
  "invalid literal/lengths set": /over-subscribed|incomplete/,
  "invalid distances set": /over-subscribed|incomplete/,
  "invalid literal/length code": /stands for nothing/,
  "invalid distance code": /stands for nothing/,
  "invalid distance too far back": /too far back/,
  "incorrect data check": /checksum/,
};

/** Decodes with both, and compares: the bytes, or what is wrong. Returns zlib's message. */
function compare(input: Uint8Array): string {
  let theirs: { buffer: Buffer; engine: { bytesWritten: number } };
  try {
    // The types know nothing of `info`.
    theirs = inflateSync(input, { info: true, maxOutputLength: ROOM }) as unknown as typeof theirs;
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    const expected = code === "ERR_BUFFER_TOO_LARGE" ? /longer than its place/ : ZLIB_SAYS[message];
    assert.ok(expected, `zlib says "${message}"`);
    // A precode without codewords: zlib goes on as if each bit were a length of 0, and finds nothing in what it gets.
    if (/end of file|missing end-of-block/.test(message) && /incomplete/.test(complaint(input))) return message;
    assert.match(complaint(input), expected, `zlib says "${message}" of ${Buffer.from(input).toString("hex")}`);
    return message;
  }
  if (theirs.engine.bytesWritten < input.length) assert.match(complaint(input), /something follows/);
  else assert.ok(sameBytes(inflate(input, ROOM), theirs.buffer));
  return "";
}

test("of damaged data the same is said as by zlib, and good data comes back afterwards", { timeout: 120_000 }, (t) => {
  const next = numbers(20_261);
  const originals = [
    new Uint8Array(0),
    text(200, 1),
    text(3000, 2),
    noise(100, 3),
    records(2000, 4),
    new Uint8Array(900),
  ];
  const streams = originals.flatMap((input) => ENCODERS.map((options) => deflateSync(input, options)));
  const said = new Map<string, number>();
  const end = performance.now() + 8000;
  let runs = 0;
  while (performance.now() < end && runs < 40_000) {
    let bytes = new Uint8Array(streams[next() % streams.length]!);
    const kind = next() % 4;
    if (kind === 0) {
      // Noise behind a header that is right: mostly heads of blocks with codes of their own.
      bytes = new Uint8Array(noise(6 + (next() % 120), next()));
      bytes.set([0x78, 0x9c]);
      if (next() % 2) bytes[2] = (bytes[2]! & ~6) | 4;
    } else {
      // Damage near the beginning hits the heads.
      for (let changes = 1 + (next() % 3); changes > 0; changes--) {
        const span = kind === 1 ? Math.min(bytes.length, 40) : bytes.length;
        bytes[next() % span]! ^= 1 << (next() % 8);
      }
      if (kind === 3) bytes = bytes.slice(0, next() % (bytes.length + 1));
    }
    const message = compare(bytes);
    said.set(message, (said.get(message) ?? 0) + 1);
    if (runs++ % 50 === 0) assert.ok(sameBytes(inflate(good, 3000), text(3000, 9)));
  }
  t.diagnostic(`${runs} runs: ${[...said].map(([message, times]) => `${times} ${message || "fine"}`).join(", ")}`);
  // A slow machine may not come to the rare ones.
  assert.ok(said.size >= 10 && said.has(""), "hardly anything was tried");
});

test("the longest inputs take a bounded time, whatever they are", () => {
  // Blocks that say nothing, each with codes of its own: the most work for the least input.
  const bits = new Bits();
  for (let i = 0; i < 100; i++) {
    // Literal 255 and the end of block with one bit each; an offset of one bit.
    bits.header(i === 99, 2).codes(257, 1, { 1: 1, 18: 1 });
    zeros(bits, 255, "1").code("0").code("0").code("0").code("1");
  }
  const stream = bits.zlib();
  assert.equal(inflateSync(stream).length, 0);
  assert.equal(inflate(stream, 0).length, 0);
  const begin = stream.subarray(0, 2);
  const blocks = stream.subarray(2, 2 + Math.floor((stream.length - 6) / 2));
  const long = Buffer.concat([begin, ...Array.from({ length: Math.floor(MAX / blocks.length) }, () => blocks)]);
  const started = performance.now();
  for (const input of [long, Buffer.concat([begin, Buffer.alloc(MAX)]), Buffer.concat([begin, noise(MAX, 1)])]) {
    assert.notEqual(complaint(input), "");
  }
  assert.ok(performance.now() - started < 5000);
});
