/** Modules that cannot be loaded: what is said, and that it is tried again. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { CodecName, CodecOptions } from "../../src/codecs/codec.js";
import { instantiateWasm, oncePerThread } from "../../src/codecs/wasm.js";
import { ImgbuildError } from "../../src/errors.js";
import { temporaryFolder } from "../support/tools.js";

function isNotLoaded(error: unknown): true {
  // Of a copy of the modules, the class is another.
  const { code, hint, message } = error as ImgbuildError;
  assert.equal(code, "io-failed", String(error));
  assert.match(message, /^cannot load .*\.wasm: /);
  assert.match(hint!, /\.wasm files have to be where/);
  return true;
}

test("what is loaded once is the same for everyone, also for those who ask while it is loading", async () => {
  let loads = 0;
  const load = oncePerThread(async () => ({ number: ++loads }));
  const [first, second] = await Promise.all([load(), load()]);
  assert.equal(first, second);
  assert.equal(await load(), first);
  assert.equal(loads, 1);
});

test("a failure is for those who wait for it, and the next who asks makes a new attempt", async () => {
  let attempts = 0;
  const load = oncePerThread(async () => {
    if (++attempts < 3) throw new Error(`attempt ${attempts}`);
    return attempts;
  });
  const [first, second] = await Promise.allSettled([load(), load()]);
  assert.equal(first.status === "rejected" && first.reason.message, "attempt 1");
  assert.equal(second.status === "rejected" && second.reason.message, "attempt 1");
  await assert.rejects(load(), /attempt 2/);
  assert.equal(await load(), 3);
  assert.equal(await load(), 3);
});

test("a file that is missing, or no module, is an error with a remedy", async (t) => {
  const url = new URL("absent.wasm", `${pathToFileURL(temporaryFolder(t))}/`);
  await assert.rejects(instantiateWasm(url), (error) => error instanceof ImgbuildError && isNotLoaded(error));
  fs.writeFileSync(url, "<!doctype html>");
  await assert.rejects(instantiateWasm(url), (error) => error instanceof ImgbuildError && isNotLoaded(error));
});

test("so is one that the network does not give", async (t) => {
  const url = new URL("https://example.org/absent.wasm");
  t.mock.method(globalThis, "fetch", async () => new Response("", { status: 404 }));
  await assert.rejects(instantiateWasm(url), (error) => isNotLoaded(error) && /answers 404/.test(String(error)));
  t.mock.method(globalThis, "fetch", async () => {
    throw new TypeError("fetch failed");
  });
  await assert.rejects(instantiateWasm(url), (error) => isNotLoaded(error) && /fetch failed/.test(String(error)));
});

const OPTIONS: CodecOptions = {
  zlib: { level: 1 },
  xz: { level: 0, dictionarySize: 65_536 },
  zstd: { level: 1 },
  lzo: { level: 1 },
  lz4: { level: 1 },
};

test("every codec can be had once its module is there, however often it was asked for before", async (t) => {
  const source = path.dirname(fileURLToPath(new URL("../../src/codecs/codec.js", import.meta.url)));
  const copy = temporaryFolder(t);
  const codecs = path.join(copy, "codecs");
  fs.writeFileSync(path.join(copy, "package.json"), '{"type": "module"}');
  fs.copyFileSync(path.join(source, "../errors.js"), path.join(copy, "errors.js"));
  fs.cpSync(source, codecs, { recursive: true, filter: (file) => !file.endsWith(".wasm") });
  const { createCompressor, createDecompressor }: typeof import("../../src/codecs/codec.js") = await import(
    pathToFileURL(path.join(codecs, "codec.js")).href
  );
  const names = Object.keys(OPTIONS) as CodecName[];
  for (const codec of names) {
    for (let attempt = 0; attempt < 2; attempt++) {
      await assert.rejects(createCompressor({ codec, options: OPTIONS[codec] }), isNotLoaded);
      // The decoder of LZO is no module.
      if (codec !== "lzo") await assert.rejects(createDecompressor(codec), isNotLoaded);
    }
  }
  for (const file of fs.readdirSync(source).filter((name) => name.endsWith(".wasm"))) {
    fs.copyFileSync(path.join(source, file), path.join(codecs, file));
  }
  for (const codec of names) {
    const output = new Uint8Array(1000);
    const size = (await createCompressor({ codec, options: OPTIONS[codec] })).compress(new Uint8Array(900), output);
    const decompressor = await createDecompressor(codec);
    assert.equal(decompressor.decompress(output.subarray(0, size), new Uint8Array(900)), 900, codec);
  }
});
