/** The LZO decoder: on what liblzo writes, and on what is damaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCompressor, createDecompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import fc from "../support/fast-check.js";
import { hardInputs, noise, numbers, records, text } from "./deflate-data.js";
import { ALGORITHMS, lacksLiblzo, liblzoCompress, liblzoDecompress } from "./liblzo.js";
import { corpus, limits, structured } from "./lzo-data.js";

const decompressor = await createDecompressor("lzo");
const compressor = await createCompressor({ codec: "lzo", options: { level: 8 } });
const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;
const isDamage = (error: unknown) => error instanceof ImgbuildError && error.code === "image-corrupt";

const GUARD = 64;

/** Decompresses with as much room, between guards that must stay. Undefined when the block is refused. */
function decompress(block: Uint8Array, room: number): Uint8Array | undefined {
  const guarded = new Uint8Array(GUARD + room + GUARD).fill(0xa5);
  let length: number | undefined;
  try {
    length = decompressor.decompress(block, guarded.subarray(GUARD, GUARD + room));
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  assert.ok(
    guarded.subarray(0, GUARD).every((byte) => byte === 0xa5),
    "written in front of the output",
  );
  assert.ok(
    guarded.subarray(GUARD + room).every((byte) => byte === 0xa5),
    "written beyond the output",
  );
  return length === undefined ? undefined : guarded.subarray(GUARD, GUARD + length);
}

/** Also when the room is exact, and not when it is a byte short. */
function assertReads(block: Uint8Array, input: Uint8Array, name: string): void {
  for (const room of [input.length, input.length + 100]) {
    const result = decompress(block, room);
    assert.ok(result !== undefined && sameBytes(result, input), name);
  }
  if (input.length > 0) assert.equal(decompress(block, input.length - 1), undefined, `${name}, a byte short`);
}

const variants = [
  ...ALGORITHMS.slice(0, 4).map((algorithm) => ({ algorithm, level: 0 })),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((level) => ({ algorithm: "lzo1x_999" as const, level })),
];
for (const { algorithm, level } of variants) {
  test(`what ${algorithm} of liblzo writes is read${level > 0 ? `, level ${level}` : ""}`, (t) => {
    if (lacksLiblzo(t)) return;
    const samples = fc.sample(structured, 100).map((input, i) => [`sample ${i}`, input] as const);
    const limited = limits().map(({ name, input }) => [name, input] as const);
    // lzo1x_999 is slow on the longest of them.
    const hard = [...hardInputs()].filter(([, { length }]) => level < 7 || length <= 2 ** 17);
    const inputs = [...hard, ...corpus(), ...limited, ...samples];
    const blocks = liblzoCompress(
      inputs.map(([, input]) => input),
      algorithm,
      level,
    );
    for (const [i, [name, input]] of inputs.entries()) assertReads(blocks[i]!, input, name);
  });
}

/** Changes a block at some places: bytes get other values or swap bits, are left out, come twice. */
function damage(block: Uint8Array, next: () => number): Uint8Array {
  const bytes = [...block];
  for (let changes = 1 + (next() % 3); changes > 0 && bytes.length > 0; changes--) {
    // Every other time near the beginning, where nothing has been written yet, or at the end.
    const near = Math.min(bytes.length, 8);
    const at = [next() % bytes.length, next() % near, bytes.length - 1 - (next() % near)];
    const where = at[next() % 3]!;
    const kind = next() % 6;
    if (kind === 0) bytes[where] = next() & 255;
    else if (kind === 1) bytes[where]! ^= 1 << (next() & 7);
    else if (kind === 2) bytes.splice(where, 1);
    else if (kind === 3) bytes.splice(where, 0, next() & 31);
    else if (kind === 4) bytes[where] = 0;
    else bytes.length = where;
  }
  return Uint8Array.from(bytes);
}

test("damaged blocks are refused or read as liblzo reads them, and nothing is written beyond the output", (t) => {
  const inputs = [
    text(900, 1),
    records(700, 2),
    noise(60, 3),
    new Uint8Array(5000),
    ...limits().map(({ input }) => input),
  ];
  const next = numbers(42);
  const damaged: Uint8Array[] = [];
  const room: number[] = [];
  for (let i = 0; i < 20_000; i++) {
    const input = inputs[next() % inputs.length]!.subarray(0, 1200);
    const output = new Uint8Array(2000);
    damaged.push(damage(output.subarray(0, compressor.compress(input, output)), next));
    room.push(input.length + (next() % 3) - 1);
  }
  const ours = damaged.map((block, i) => decompress(block, room[i]!));
  const refused = ours.filter((result) => result === undefined).length;
  assert.ok(refused > 5000 && refused < 19_500, `${refused} of ${ours.length} refused`);
  if (lacksLiblzo(t)) return;
  const theirs = liblzoDecompress(damaged, room);
  for (const [i, result] of ours.entries()) {
    const same =
      result === undefined ? theirs[i] === undefined : theirs[i] !== undefined && sameBytes(result, theirs[i]);
    assert.ok(same, `block ${i}, [${damaged[i]}] into ${room[i]}: ours ${result?.length}, theirs ${theirs[i]?.length}`);
  }
});

test("noise is refused, whatever it is", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(500), (block, room) => {
      decompress(block, room);
    }),
    { interruptAfterTimeLimit: 2000, numRuns: 100_000 },
  );
});

test("a block that is cut short anywhere is refused, and one with more behind it", () => {
  for (const input of [text(3000, 1), noise(400, 1), records(2000, 1), new Uint8Array(3000)]) {
    const output = new Uint8Array(4000);
    const block = output.subarray(0, compressor.compress(input, output));
    for (let length = 0; length < block.length; length++) {
      assert.equal(decompress(block.subarray(0, length), input.length), undefined, `${length} bytes`);
    }
    assert.equal(decompress(Buffer.concat([block, Uint8Array.of(0)]), input.length), undefined);
  }
});

test("an empty input is refused, and lengths that never end", () => {
  assert.equal(decompress(new Uint8Array(0), 10), undefined);
  // Long literals, M3 and M4 with a length of zeros up to the end of the input.
  for (const code of [0, 32, 16]) {
    for (const length of [1, 2, 100, 2 ** 20]) {
      const block = new Uint8Array(length + 3);
      block.set([18, 7, code === 0 ? 0x80 : code]);
      assert.equal(decompress(block, 100), undefined, `${code}, ${length}`);
    }
  }
});
