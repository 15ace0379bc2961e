/** Files of the host beside others: what cannot be read is left out where it is not wanted, and named where it is. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { filesInFolder, hostFile } from "../../src/host.js";
import { readContent } from "../../src/tree/index.js";
import { lacksRoot, temporaryFolder } from "../support/tools.js";

function sampleFolder(t: TestContext): string {
  const folder = temporaryFolder(t);
  fs.chmodSync(folder, 0o755);
  fs.writeFileSync(path.join(folder, "zImage-6.1"), "kernel");
  fs.symlinkSync("zImage-6.1", path.join(folder, "zImage"));
  fs.symlinkSync("loop-b", path.join(folder, "loop-a"));
  fs.symlinkSync("loop-a", path.join(folder, "loop-b"));
  fs.symlinkSync("nothing", path.join(folder, "dangling"));
  fs.symlinkSync("zImage/below", path.join(folder, "below-a-file"));
  fs.symlinkSync(".", path.join(folder, "to-a-folder"));
  fs.mkdirSync(path.join(folder, "overlays"));
  fs.writeFileSync(path.join(folder, "overlays/a.dtbo"), "a");
  return folder;
}

/** Runs `use` as a user without privileges. */
function asNobody<T>(use: () => T): T {
  process.seteuid!(65534);
  try {
    return use();
  } finally {
    process.seteuid!(0);
  }
}

const names = (folder: string, recursive: boolean) => [...filesInFolder(folder, { recursive }).keys()].sort();

test("links that lead nowhere, in a circle or to folders are left out", async (t) => {
  const folder = sampleFolder(t);
  assert.deepEqual(names(folder, false), ["zImage", "zImage-6.1"]);
  assert.deepEqual(names(folder, true), ["overlays/a.dtbo", "zImage", "zImage-6.1"]);
  const kernel = filesInFolder(folder, { recursive: false }).get("zImage")!;
  assert.equal(Buffer.from(await readContent(kernel)).toString(), "kernel");
});

test("what this user may not look at is left out; a folder that was asked for has to be readable", (t) => {
  if (lacksRoot(t)) return;
  const folder = sampleFolder(t);
  const closed = path.join(folder, "overlays");
  fs.symlinkSync("overlays/a.dtbo", path.join(folder, "hidden"));
  fs.chmodSync(closed, 0o700);
  assert.deepEqual(
    asNobody(() => names(folder, true)),
    ["zImage", "zImage-6.1"],
  );
  assert.deepEqual(
    asNobody(() => names(closed, false)),
    [],
  );
  assert.throws(() => asNobody(() => names(closed, true)), { code: "source-unreadable" });
  assert.throws(() => asNobody(() => hostFile(path.join(closed, "a.dtbo"))), { code: "source-unreadable" });
});

test("a file that may be seen but not read is an error when it is read, by name", async (t) => {
  if (lacksRoot(t)) return;
  const folder = sampleFolder(t);
  fs.chmodSync(path.join(folder, "zImage-6.1"), 0o600);
  const kernel = asNobody(() => filesInFolder(folder, { recursive: false })).get("zImage")!;
  process.seteuid!(65534);
  try {
    await assert.rejects(readContent(kernel), { code: "source-unreadable", message: /zImage: EACCES/ });
  } finally {
    process.seteuid!(0);
  }
});

test("a file that is named says what is wrong with it", (t) => {
  const folder = sampleFolder(t);
  for (const [name, code, message] of [
    ["nothing", "source-missing", /does not exist/],
    ["dangling", "source-missing", /does not exist/],
    ["below-a-file", "source-missing", /does not exist/],
    ["loop-a", "source-invalid", /in a circle/],
    ["overlays", "source-invalid", /is not a regular file/],
  ] as const) {
    assert.throws(
      () => hostFile(path.join(folder, name)),
      (error) => {
        assert.ok(error instanceof ImgbuildError, `${name}: ${error}`);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.ok(error.hint);
        return true;
      },
    );
  }
  assert.throws(() => filesInFolder(path.join(folder, "nothing"), { recursive: false }), ImgbuildError);
});
