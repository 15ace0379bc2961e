import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { type ErrorCode, ImgbuildError } from "../../src/errors.js";
import { installOverlay, userdataUpper } from "../../src/overlay/index.js";
import { contentOf, newDirectory, newFile, readContent } from "../../src/tree/node.js";
import { addNode, lookup, makeDirectories, type Tree } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { link, program, sampleTree } from "./sample.js";

const time = { seconds: 1_700_000_000, nanoseconds: 0 };

function install(tree: Tree, paths: readonly string[] = ["/home/root"]) {
  return installOverlay(tree, { paths: paths.map(fromText), userdataPartition: 3, time });
}

async function textOf(tree: Tree, name: string): Promise<string> {
  const node = lookup(tree, fromText(name));
  assert.ok(node?.type === "file", name);
  return Buffer.from(await readContent(node.content)).toString("latin1");
}

function refused(code: ErrorCode, message: RegExp, use: () => unknown): void {
  assert.throws(use, (error) => {
    assert.ok(error instanceof ImgbuildError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.ok(error.hint);
    return true;
  });
}

test("the script, its configuration and all mount points come into the root", async () => {
  const tree = sampleTree();
  const { init, realInit, added } = install(tree, ["/home/root", "/etc/"]);
  assert.equal(init, "/usr/lib/imgbuild/preinit");
  assert.equal(realInit, "/sbin/init");
  assert.equal(
    await textOf(tree, "usr/lib/imgbuild/preinit.conf"),
    "userdata 3\nmount /userdata\ninit /sbin/init\noverlay etc /etc\noverlay home-root /home/root\n",
  );
  const source = path.resolve(import.meta.dirname, "../../../src/overlay/preinit.sh");
  assert.equal(await textOf(tree, init), fs.readFileSync(source, "latin1"));
  const modes = { dev: 0o755, proc: 0o755, run: 0o755, sys: 0o755, tmp: 0o1777, userdata: 0o755, etc: 0o755 };
  for (const [name, mode] of Object.entries({ ...modes, "home/root": 0o755, "usr/lib/imgbuild/preinit": 0o755 })) {
    const node = lookup(tree, fromText(name))!;
    assert.deepEqual([node.mode, node.uid, node.gid, node.mtime], [mode, 0, 0, time], name);
    assert.ok(added.includes(fromText(`/${name}`)), name);
  }
});

test("what is there stays as it is", () => {
  const tree = sampleTree();
  const home = makeDirectories(tree, fromText("home/root"), { mode: 0o700, uid: 7, gid: 8 });
  const tmp = makeDirectories(tree, fromText("tmp"), { mode: 0o700 });
  const { added } = install(tree);
  assert.equal(lookup(tree, fromText("home/root")), home);
  assert.deepEqual([home.mode, home.uid, home.gid, tmp.mode], [0o700, 7, 8, 0o700]);
  assert.ok(!added.includes(fromText("/home/root")) && !added.includes(fromText("/tmp")));
});

test("symlinks in the root are followed", async () => {
  const tree = sampleTree();
  addNode(tree, fromText("home"), link("var/home"));
  makeDirectories(tree, fromText("var/home/root"));
  makeDirectories(tree, fromText("usr/lib64"));
  addNode(tree, fromText("usr/lib"), link("lib64"));
  addNode(tree, fromText("tmp"), link("var/volatile/tmp"));
  install(tree);
  assert.match(await textOf(tree, "usr/lib64/imgbuild/preinit.conf"), /^overlay home-root \/var\/home\/root$/m);
  assert.equal(lookup(tree, fromText("var/volatile/tmp"))?.mode, 0o1777);
  assert.equal(lookup(tree, fromText("tmp"))?.type, "symlink");
  refused("profile-invalid", /the same folder/, () => install(tree, ["/home", "/var/home"]));
});

test("the real init is the first that can run", () => {
  const tree = sampleTree();
  addNode(tree, fromText("sbin/init"), link("/gone"));
  addNode(tree, fromText("etc/init"), newFile(contentOf(new Uint8Array(1)), { mode: 0o644 }));
  assert.equal(install(tree).realInit, "/bin/sh");
  addNode(tree, fromText("lib/systemd/systemd"), program());
  assert.equal(install(tree).realInit, "/lib/systemd/systemd");
});

test("a root that cannot run the script is refused", () => {
  const tree = sampleTree();
  addNode(tree, fromText("lib/systemd/systemd"), program());
  const { entries } = lookup(tree, fromText("bin")) as ReturnType<typeof newDirectory>;
  entries.delete(fromText("sh"));
  entries.delete(fromText("stat"));
  refused("source-invalid", /: \/bin\/sh, stat$/, () => install(tree));
  refused("source-invalid", /has no init: no program \/sbin\/init, /, () => install({ root: newDirectory() }));
});

test("what cannot be a mount point is refused by name", () => {
  for (const name of ["proc", "userdata", "home/root"]) {
    const tree = sampleTree();
    addNode(tree, fromText(name), newFile(contentOf(new Uint8Array(0))));
    refused("source-invalid", new RegExp(`^/${name} has to be a folder, but is a file$`), () => install(tree));
  }
});

test("paths that no overlay can be laid over are refused", () => {
  const bad = ["home/root", "/", "/./", "/a/../b", "/a b", "/a,b", "/a:b", "/a\\b", "/a\nb", `/${"x".repeat(252)}`];
  for (const name of bad)
    refused("profile-invalid", /^there can be no overlay of /, () => userdataUpper(fromText(name)));
  for (const name of ["/run/x", "/proc", "/userdata/a", "/dev"]) {
    refused("profile-invalid", /is not on the root/, () => install(sampleTree(), [name]));
  }
});

test("so are paths that symlinks in the root lead to such places", () => {
  for (const [target, reason] of [
    ["data:1", /"\/home\/user": the path leads to "\/data:1\/user", which has a blank/],
    ["/mnt/my data", /leads to "\/mnt\/my data\/user"/],
    ["a,upperdir=/b", /leads to "\/a,upperdir=\/b\/user"/],
    ["a\ninit /evil", /leads to /],
    ["/run", /\/run is not on the root/],
  ] as const) {
    const tree = sampleTree();
    addNode(tree, fromText("home"), link(target));
    refused("profile-invalid", reason, () => install(tree, ["/home/user"]));
  }
  const tree = sampleTree();
  addNode(tree, fromText("all"), link("/"));
  refused("profile-invalid", /leads to "\/", which is the whole root/, () => install(tree, ["/all"]));
});

test("where an overlay's content lies on UserData", () => {
  assert.equal(userdataUpper(fromText("/home/root")), "overlay/home-root/upper");
  assert.equal(userdataUpper(fromText("/home//root/")), "overlay/home-root/upper");
  assert.equal(userdataUpper(fromText("/var/lib/my-app_1.0")), "overlay/var-lib-my%2dapp_1.0/upper");
  assert.equal(userdataUpper(fromText("/é")), "overlay/%c3%a9/upper");
  assert.equal(userdataUpper(fromText("/a%2db")), "overlay/a%252db/upper");
});

test("no two overlays share a folder on UserData", () => {
  const segment = fc.string({
    unit: fc.constantFrom("a", "b", "-", "%", "2", "d", ".", "é"),
    minLength: 1,
    maxLength: 4,
  });
  const paths = fc
    .array(segment, { minLength: 1, maxLength: 3 })
    .map((names) => `/${names.join("/")}`)
    .filter((name) => !/\/\.{1,2}(?:\/|$)/.test(name));
  fc.assert(
    fc.property(paths, paths, (a, b) => {
      assert.equal(userdataUpper(fromText(a)) === userdataUpper(fromText(b)), a === b);
      assert.match(userdataUpper(fromText(a)), /^overlay\/[\w.%-]+\/upper$/);
    }),
    { numRuns: 2000 },
  );
});
