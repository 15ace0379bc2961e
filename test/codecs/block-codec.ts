/** What every codec of blocks has to stand, for the tests of each. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import {
  type CodecName,
  type CodecSpec,
  type Compressor,
  createCompressor,
  createDecompressor,
  type Decompressor,
} from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";
import { noise, numbers, records, text } from "./deflate-data.js";

const GUARD = 64;

/** All of `input` compressed, into an output that is larger than it needs. */
export function compress(compressor: Compressor, input: Uint8Array): Uint8Array {
  const output = new Uint8Array(input.length + 1024);
  const length = compressor.compress(input, output);
  assert.ok(length > 0, "the output is larger than it can be");
  return output.subarray(0, length);
}

/** Decompresses into an output of exactly `room` bytes, and asserts that nothing around it is written. */
export function decompress(decompressor: Decompressor, input: Uint8Array, room: number): Uint8Array {
  const guarded = new Uint8Array(room + 2 * GUARD).fill(0xa5);
  try {
    const length = decompressor.decompress(input, guarded.subarray(GUARD, GUARD + room));
    assert.ok(length <= room);
    return guarded.slice(GUARD, GUARD + length);
  } finally {
    assert.ok(guarded.subarray(0, GUARD).every((byte) => byte === 0xa5));
    assert.ok(guarded.subarray(GUARD + room).every((byte) => byte === 0xa5));
  }
}

export const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** What a host's program makes of `input`. */
export function filter(command: string, args: readonly string[], input: Uint8Array): Uint8Array {
  const { status, stdout, stderr } = spawnSync(command, args, { input, maxBuffer: 2 ** 26 });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

export function isCorrupt(error: unknown): boolean {
  assert.ok(error instanceof ImgbuildError && error.code === "image-corrupt", String(error));
  return true;
}

/** Asserts that a result goes into an output of its size, and that one byte less gives 0, with nothing around it written. */
export function assertExactRoom(compressor: Compressor, input: Uint8Array): void {
  const { length } = compress(compressor, input);
  for (const room of [0, 1, length >> 1, length - 1, length]) {
    const guarded = new Uint8Array(length + 2 * GUARD).fill(0xa5);
    const output = guarded.subarray(GUARD, GUARD + room);
    assert.equal(compressor.compress(input, output), room === length ? length : 0, `${room} of ${length} bytes`);
    assert.ok(guarded.subarray(0, GUARD).every((byte) => byte === 0xa5));
    assert.ok(guarded.subarray(GUARD + room).every((byte) => byte === 0xa5));
  }
}

/** Asserts that whatever is wrong with a block, the decompressor says `image-corrupt` or returns something of the right size. */
export async function assertSurvivesDamage(codec: CodecName, block: Uint8Array, content: Uint8Array): Promise<void> {
  const decompressor = await createDecompressor(codec);
  const corrupt = (bytes: Uint8Array, room: number, what: string) =>
    assert.throws(() => decompress(decompressor, bytes, room), isCorrupt, what);
  for (const room of [0, 1, content.length >> 1, content.length - 1]) corrupt(block, room, `${room} bytes of room`);
  for (const kept of [0, 1, 4, 5, 11, 12, block.length >> 1, block.length - 4, block.length - 1]) {
    corrupt(block.subarray(0, kept), content.length, `cut after ${kept}`);
  }
  for (const tail of [Uint8Array.of(0), new Uint8Array(4), noise(100, 1), block]) {
    corrupt(Buffer.concat([block, tail]), 3 * content.length, `followed by ${tail.length} bytes`);
  }
  for (const [i, garbage] of [noise(1000, 1), new Uint8Array(1000), text(1000, 1)].entries()) {
    corrupt(garbage, content.length, `garbage ${i}`);
    corrupt(Buffer.concat([block.subarray(0, 12), garbage]), content.length, `garbage ${i} behind a head`);
  }
  const next = numbers(5);
  let refused = 0;
  const rounds = 300;
  for (let round = 0; round < rounds; round++) {
    const bad = block.slice();
    // Heads are where sizes and lengths are: every other round hits one.
    const at = next() % (round % 2 === 0 ? 40 : bad.length);
    bad[at]! ^= 1 << (next() % 8);
    try {
      decompress(decompressor, bad, content.length);
    } catch (error) {
      isCorrupt(error);
      refused++;
    }
  }
  // zstd has no checksum here: literals are whatever they are.
  assert.ok(refused > rounds / 4, `${refused} of ${rounds} refused`);
  assert.ok(sameBytes(decompress(decompressor, block, content.length), content), "damage leaves nothing behind");
}

const MIXED = [
  text(70_000, 1),
  new Uint8Array(300),
  records(131_072, 2),
  noise(5000, 3),
  text(300, 4),
  text(2 ** 17, 5),
];

/** Asserts that blocks have the same bytes in whatever order they come, and in another thread. */
export async function assertDependsOnInputOnly(spec: CodecSpec): Promise<void> {
  const compressor = await createCompressor(spec);
  const first = MIXED.map((input) => compress(compressor, input).slice());
  const next = numbers(99);
  for (let round = 0; round < 10; round++) {
    const which = next() % MIXED.length;
    assert.ok(sameBytes(compress(compressor, MIXED[which]!), first[which]!), `input ${which}`);
  }
  const script = `
    import { parentPort } from "node:worker_threads";
    const { createCompressor } = await import(${JSON.stringify(new URL("../../src/codecs/index.js", import.meta.url))});
    const { text } = await import(${JSON.stringify(new URL("./deflate-data.js", import.meta.url))});
    const compressor = await createCompressor(${JSON.stringify(spec)});
    const output = new Uint8Array(100_000);
    parentPort.postMessage(output.slice(0, compressor.compress(text(70_000, 1), output)));`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
  const theirs = await new Promise<Uint8Array>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  assert.ok(sameBytes(theirs, first[0]!), "a worker makes other bytes");
}
