/** Run by web.test.ts in a process of its own: writes images in a web realm, and the images to the folder in argv[2]. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { webRealm } from "../support/web-realm.js";

const folder = process.argv[2]!;
const realm = webRealm();

// Without Node's Buffer bytes are compared by a loop: every length and alignment, and every place for a difference.
const { sameBytes } = (await realm.import(
  "build/src/bytes/same-bytes.js",
)) as typeof import("../../src/bytes/same-bytes.js");
const { isZero } = (await realm.import("build/src/bytes/zeros.js")) as typeof import("../../src/bytes/zeros.js");
for (let length = 0; length < 20; length++) {
  for (let start = 0; start < 4; start++) {
    const bytes = new Uint8Array(start + length).subarray(start);
    assert.ok(sameBytes(bytes, new Uint8Array(length)) && isZero(bytes));
    assert.ok(!sameBytes(bytes, new Uint8Array(length + 1)));
    for (let at = 0; at < length; at++) {
      const other = bytes.slice().fill(1, at, at + 1);
      assert.ok(!sameBytes(bytes, other) && !isZero(other) && isZero(other, at + 1) && isZero(other, 0, at));
    }
  }
}

const { describe, writeAll } = (await realm.import("build/test/portable/images.js")) as typeof import("./images.js");
for (const [name, bytes] of await writeAll()) {
  fs.writeFileSync(path.join(folder, name), bytes);
  fs.writeFileSync(path.join(folder, `${name}.txt`), await describe(bytes));
}

const { writeExample } = (await realm.import("examples/write-squashfs.mjs")) as { writeExample(): Promise<Uint8Array> };
fs.writeFileSync(path.join(folder, "example"), await writeExample());

const answer = new Promise<Uint8Array>((resolve) => {
  realm.globals.postMessage = resolve;
});
await realm.import("examples/in-a-worker.mjs");
const file = new Blob(["in a worker\n".repeat(50_000)]);
(realm.globals.onmessage as (event: unknown) => void)({ data: [{ path: "a/file", file }] });
fs.writeFileSync(path.join(folder, "worker"), await answer);
