import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { contentOf, newDirectory, newFile, newMetadata } from "../../src/tree/node.js";
import { follow, realPath } from "../../src/tree/real-path.js";
import { addNode, makeDirectories, type Tree } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const symlink = (target: string) => ({ type: "symlink", ...newMetadata(0o777), target: fromText(target) }) as const;

function tree(links: Record<string, string>): Tree {
  const made: Tree = { root: newDirectory() };
  for (const [name, target] of Object.entries(links)) addNode(made, fromText(name), symlink(target));
  return made;
}

test("symlinks are followed inside the tree", () => {
  const made = tree({ bin: "usr/bin", "usr/bin/sh": "/bin/busybox", up: "../../../usr", "usr/loop": "loop" });
  const busybox = newFile(contentOf(new Uint8Array(1)));
  addNode(made, fromText("usr/bin/busybox"), busybox);
  assert.equal(realPath(made, fromText("/bin/sh")), "/usr/bin/busybox");
  assert.equal(follow(made, fromText("bin/./sh")), busybox);
  assert.equal(realPath(made, fromText("up/bin")), "/usr/bin");
  assert.equal(realPath(made, fromText("/bin/not/there")), "/usr/bin/not/there");
  assert.equal(follow(made, fromText("/bin/not/there")), undefined);
  assert.equal(follow(made, fromText("/")), made.root);
});

test("symlinks in a circle are refused", () => {
  const made = tree({ "usr/loop": "loop", a: "b", b: "a" });
  for (const at of ["usr/loop", "a"]) {
    assert.throws(
      () => realPath(made, fromText(at)),
      (error) => error instanceof ImgbuildError && error.code === "source-invalid",
    );
  }
});

test("paths lead where chroot and realpath say", (t) => {
  if (lacks(t, "busybox", "chroot") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  fs.copyFileSync(run("which", ["busybox"]).trim(), path.join(folder, "busybox"));
  fs.chmodSync(path.join(folder, "busybox"), 0o755);
  const names = fc.constantFrom("a", "b", "c", "a/a", "a/b", "b/c");
  const targets = fc.constantFrom("a", "/a", "../b", "..", "a/../c", "/b/c", "../../a/b", "b/c", ".");
  const cases: { made: Tree; at: string; host: string }[] = [];
  fc.assert(
    fc.property(fc.dictionary(names, targets, { maxKeys: 5 }), names, (links, at) => {
      const host = fs.mkdtempSync(path.join(folder, "case-"));
      const made: Tree = { root: newDirectory() };
      for (const top of ["a", "b"]) {
        if (links[top] !== undefined) continue;
        fs.mkdirSync(path.join(host, top));
        makeDirectories(made, fromText(top));
      }
      for (const [name, target] of Object.entries(links)) {
        if (name.includes("/") && links[name.split("/")[0]!] !== undefined) continue;
        fs.symlinkSync(target, path.join(host, name));
        addNode(made, fromText(name), symlink(target));
      }
      cases.push({ made, at, host });
    }),
    { numRuns: 60, seed: 11 },
  );
  let resolved = 0;
  for (const { made, at, host } of cases) {
    fs.linkSync(path.join(folder, "busybox"), path.join(host, "busybox"));
    const shown = run("chroot", [host, "/busybox", "sh", "-c", `/busybox realpath "/${at}" || echo none`]).trim();
    let ours: string;
    try {
      ours = follow(made, fromText(at)) === undefined ? "none" : realPath(made, at as ByteString);
    } catch {
      ours = "none";
    }
    // busybox's realpath allows the last name to be missing; whether it is there is asked of the kernel.
    const exists = spawnExists(host, at);
    if (exists) resolved++;
    assert.equal(ours, exists ? shown : "none", `${at} in ${host}`);
  }
  assert.ok(resolved > 10);
});

function spawnExists(host: string, at: string): boolean {
  return run("chroot", [host, "/busybox", "sh", "-c", `[ -e "/${at}" ] && echo yes || echo no`]).trim() === "yes";
}
