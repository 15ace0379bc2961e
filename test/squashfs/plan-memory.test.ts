/** What a plan takes for each file, of which there may be millions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ByteString } from "../../src/bytes/bytestring.js";
import { plan } from "../../src/squashfs/plan.js";
import { contentOf, newDirectory, newFile } from "../../src/tree/node.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes in use that are no garbage. */
function inUse(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("trees and plans take a few hundred bytes for each file", () => {
  const files = 100_000;
  const content = contentOf(new Uint8Array(1));
  const empty = inUse();
  const root = newDirectory();
  for (let folder = 0; folder < files / 1000; folder++) {
    const directory = newDirectory();
    root.entries.set(`${folder}` as ByteString, directory);
    for (let file = 0; file < 1000; file++) directory.entries.set(`${file}` as ByteString, newFile(content));
  }
  const withTree = inUse();
  const planned = plan({ root });
  const withPlan = inUse();
  assert.equal(planned.count, files + files / 1000 + 1);
  // Objects, names and the maps of the folders; then two references and four numbers.
  assert.ok((withTree - empty) / files < 150, `${(withTree - empty) / files} bytes of tree for each file`);
  assert.ok((withPlan - withTree) / files < 64, `${(withPlan - withTree) / files} bytes of plan for each file`);
});
