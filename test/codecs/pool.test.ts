import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { type CodecSpec, CompressorPool, createCompressor } from "../../src/codecs/index.js";
import { ImgbuildError } from "../../src/errors.js";

const ZLIB: CodecSpec = { codec: "zlib", options: { level: 6 } };
const SLOT = 8192;

/** Block number `index`: of its own length, and compressible but for every fifth. */
function block(index: number): Uint8Array {
  const bytes = new Uint8Array(1 + ((index * 2377) % SLOT));
  let state = index + 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[i] = index % 5 === 0 ? state >>> 16 : (state >>> 28) + (i >>> 6);
  }
  return bytes;
}

/** Sends blocks through a pool; the results in the order in which they came. */
async function throughPool(count: number, jobs: number) {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, jobs });
  const results: { index: number; bytes: Uint8Array; compressed: boolean }[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const slot = await pool.acquire();
      const bytes = block(index);
      slot.input.set(bytes);
      pool.submit(slot, bytes.length, true, (result, compressed) => {
        results.push({ index, bytes: result.slice(), compressed });
      });
    }
    await pool.drain();
  } finally {
    await pool.close();
  }
  return results;
}

for (const jobs of [1, 2, 5]) {
  test(`results come back in order and inflate to what was given, with ${jobs} workers`, async () => {
    const results = await throughPool(200, jobs);
    assert.deepEqual(
      results.map(({ index }) => index),
      Array.from({ length: 200 }, (_, index) => index),
    );
    for (const { index, bytes, compressed } of results) {
      assert.deepEqual(new Uint8Array(compressed ? inflateSync(bytes) : bytes), block(index));
      assert.ok(!compressed || bytes.length < block(index).length);
    }
    assert.ok(results.some(({ compressed }) => compressed) && results.some(({ compressed }) => !compressed));
  });
}

test("the number of workers changes no byte", async () => {
  assert.deepEqual(await throughPool(60, 1), await throughPool(60, 3));
});

test("consumers run one at a time and in order, also when they take time", async () => {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, jobs: 2 });
  const events: string[] = [];
  try {
    for (let index = 0; index < 30; index++) {
      const slot = await pool.acquire();
      pool.submit(slot, 1000, true, async () => {
        events.push(`begin ${index}`);
        await new Promise((resolve) => setTimeout(resolve, 1));
        events.push(`end ${index}`);
      });
    }
    await pool.drain();
  } finally {
    await pool.close();
  }
  assert.deepEqual(events, Array.from({ length: 30 }, (_, index) => [`begin ${index}`, `end ${index}`]).flat());
});

test("several callers may wait for slots and for the end at the same time", async () => {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, jobs: 2 });
  const submitted: string[] = [];
  const consumed: string[] = [];
  let running = 0;
  const caller = async (name: string) => {
    for (let index = 0; index < 40; index++) {
      const slot = await pool.acquire();
      const bytes = block(index);
      slot.input.set(bytes);
      submitted.push(`${name} ${index}`);
      pool.submit(slot, bytes.length, index % 3 !== 0, async (result, compressed) => {
        assert.equal(++running, 1, "one consumer at a time");
        await new Promise((resolve) => setTimeout(resolve, 1));
        assert.deepEqual(new Uint8Array(compressed ? inflateSync(result) : result), bytes);
        consumed.push(`${name} ${index}`);
        running--;
      });
    }
    await pool.drain();
  };
  try {
    await Promise.all(["a", "b", "c"].map(caller));
  } finally {
    await pool.close();
  }
  assert.equal(consumed.length, 120);
  assert.deepEqual(consumed, submitted);
});

test("two slots can be held while all else is in work", async () => {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, jobs: 1 });
  let consumed = 0;
  try {
    const kept = await pool.acquire();
    for (let index = 0; index < 20; index++) {
      const slot = await pool.acquire();
      assert.notEqual(slot, kept);
      pool.submit(slot, SLOT, true, () => {
        consumed++;
      });
    }
    pool.release(kept);
    await pool.drain();
  } finally {
    await pool.close();
  }
  assert.equal(consumed, 20);
});

test("an error of a consumer reaches the caller, and the pool can still be closed", async () => {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, jobs: 2 });
  try {
    await assert.rejects(async () => {
      for (let index = 0; index < 50; index++) {
        const slot = await pool.acquire();
        pool.submit(slot, SLOT, true, () => {
          if (index === 10) throw new Error("the disk is full");
        });
      }
      await pool.drain();
    }, /the disk is full/);
  } finally {
    await pool.close();
  }
});

test("a worker that fails makes the caller fail", async () => {
  // The calling thread reads a possible level; what is sent to the workers has one that the encoder refuses.
  let reads = 0;
  const spec: CodecSpec = {
    codec: "zlib",
    options: {
      get level() {
        return reads++ === 0 ? 6 : 99;
      },
    },
  };
  const pool = await CompressorPool.create({ spec, slotSize: SLOT, jobs: 2 });
  try {
    await assert.rejects(
      async () => {
        for (let index = 0; index < 50; index++) pool.submit(await pool.acquire(), SLOT, true, () => {});
      },
      (error) =>
        error instanceof ImgbuildError && error.code === "internal" && /compression worker/.test(error.message),
    );
  } finally {
    await pool.close();
  }
});

test("a compressor says 0 when the result does not fit", async () => {
  const compressor = await createCompressor(ZLIB);
  const noise = block(5);
  assert.equal(compressor.compress(noise, new Uint8Array(noise.length - 1)), 0);
  const zeros = new Uint8Array(5000);
  const output = new Uint8Array(5000);
  const length = compressor.compress(zeros, output);
  assert.deepEqual(new Uint8Array(inflateSync(output.subarray(0, length))), zeros);
  assert.equal(compressor.compress(zeros, output.subarray(0, length - 1)), 0);
  assert.equal(compressor.compress(zeros, output.subarray(0, length)), length);
});

test("with room for results that are longer than their blocks, none is passed on as it is", async () => {
  const pool = await CompressorPool.create({ spec: ZLIB, slotSize: SLOT, resultSize: SLOT + 1024, jobs: 2 });
  const state = { seed: 1 };
  const inputs = Array.from({ length: 20 }, (_, i) =>
    Uint8Array.from({ length: i === 19 ? 1 : SLOT }, () => {
      state.seed = (Math.imul(state.seed, 1_103_515_245) + 12_345) >>> 0;
      return state.seed >>> 24;
    }),
  );
  const results: Uint8Array[] = [];
  try {
    for (const input of inputs) {
      const slot = await pool.acquire();
      slot.input.set(input);
      pool.submit(slot, input.length, true, (bytes, compressed) => {
        assert.ok(compressed);
        results.push(bytes.slice());
      });
    }
    await pool.drain();
  } finally {
    await pool.close();
  }
  assert.deepEqual(
    results.map((bytes) => new Uint8Array(inflateSync(bytes))),
    inputs,
  );
});
