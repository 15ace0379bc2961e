import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { type ErrorCode, ImgbuildError } from "../../src/errors.js";
import { installOverlay, type OverlayOptions, userdataUpper } from "../../src/overlay/index.js";
import { contentOf, newDirectory, newFile, newMetadata, readContent } from "../../src/tree/node.js";
import { addNode, lookup, makeDirectories, type Tree } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { lacks, run } from "../support/tools.js";
import { link, program, sampleTree } from "./sample.js";

/** The identity of an empty folder: the beginning of what `printf 'd 755 0:0 - .\\0' | sha256sum` prints. */
const EMPTY = "470c3c43a45e24ac477f246d0cda2df0";

const time = { seconds: 1_700_000_000, nanoseconds: 0 };

function install(tree: Tree, paths: readonly string[] = ["/home/root"], more: Partial<OverlayOptions> = {}) {
  return installOverlay(tree, {
    ...{ paths: paths.map(fromText), volatile: [], newRoot: "keep", keep: [], userdataPartition: 3, time },
    ...more,
  });
}

async function textOf(tree: Tree, name: string): Promise<string> {
  const node = lookup(tree, fromText(name));
  assert.ok(node?.type === "file", name);
  return Buffer.from(await readContent(node.content)).toString("latin1");
}

async function refused(code: ErrorCode, message: RegExp, use: () => unknown): Promise<void> {
  await assert.rejects(
    async () => use(),
    (error) => {
      assert.ok(error instanceof ImgbuildError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.ok(error.hint);
      return true;
    },
  );
}

test("the script, its configuration and all mount points come into the root", async () => {
  const tree = sampleTree();
  const { init, realInit, added } = await install(tree, ["/home/root", "/etc/"]);
  assert.equal(init, "/usr/lib/imgbuild/preinit");
  assert.equal(realInit, "/sbin/init");
  assert.equal(
    await textOf(tree, "usr/lib/imgbuild/preinit.conf"),
    `userdata 3\nmount /userdata\ninit /sbin/init\nfirst ready\npolicy keep\noverlay etc ${EMPTY} /etc\noverlay home-root ${EMPTY} /home/root\n`,
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

test("what is there stays as it is", async () => {
  const tree = sampleTree();
  const home = makeDirectories(tree, fromText("home/root"), { mode: 0o700, uid: 7, gid: 8 });
  const tmp = makeDirectories(tree, fromText("tmp"), { mode: 0o700 });
  const { added } = await install(tree);
  assert.equal(lookup(tree, fromText("home/root")), home);
  assert.deepEqual([home.mode, home.uid, home.gid, tmp.mode], [0o700, 7, 8, 0o700]);
  assert.ok(!added.includes(fromText("/home/root")) && !added.includes(fromText("/tmp")));
});

test("volatile folders: an overlay over what the root has there, a tmpfs where that is nothing", async () => {
  const tree = sampleTree();
  makeDirectories(tree, fromText("var/log/app"));
  makeDirectories(tree, fromText("var/tmp"), { mode: 0o1777, uid: 5, gid: 6 });
  await install(tree, ["/var"], { volatile: ["/var/tmp", "/var/log"].map(fromText) });
  const config = await textOf(tree, "usr/lib/imgbuild/preinit.conf");
  assert.match(
    config,
    /\noverlay var [0-9a-f]{32} \/var\nvolatile var-log - \/var\/log\ntmpfs 1777 5,gid=6 \/var\/tmp\n$/,
  );
});

test("the whole root has one overlay; of what is in it only memory may be laid over", async () => {
  const tree = sampleTree();
  await install(tree, ["/"], { volatile: [fromText("/tmp")] });
  assert.match(
    await textOf(tree, "usr/lib/imgbuild/preinit.conf"),
    /\noverlay %2f [0-9a-f]{32} \/\ntmpfs 1777 0,gid=0 \/tmp\n$/,
  );
  assert.equal(lookup(tree, fromText("rom"))?.type, "directory");
  await refused("profile-invalid", /"\/" and of \/etc cannot be had together/, () =>
    install(sampleTree(), ["/", "/etc"]),
  );
  await refused("profile-invalid", /whole root cannot be volatile/, () =>
    install(sampleTree(), [], { volatile: [fromText("/")] }),
  );
  await refused("profile-invalid", /\/var\/log: it is in a folder that is volatile/, () =>
    install(sampleTree(), ["/var/log"], { volatile: [fromText("/var")] }),
  );
  await refused("profile-invalid", /^\/var is to be kept and volatile/, () =>
    install(sampleTree(), ["/var"], { volatile: [fromText("/var")] }),
  );
});

test("what a reset keeps is named by absolute paths", async () => {
  const tree = sampleTree();
  await install(tree, ["/etc"], { keep: [fromText("/etc/ssh/*key*"), fromText("/etc/a b"), fromText("/etc/.*//")] });
  assert.match(
    await textOf(tree, "usr/lib/imgbuild/preinit.conf"),
    /\nkeep \/etc\/ssh\/\*key\*\nkeep \/etc\/a b\nkeep \/etc\/\.\*\n/,
  );
  for (const pattern of ["etc/a", "/etc/../x", "/etc/..", "/./etc", "//", "/etc/a /", "/etc/a\nb", "/etc/a ", "/"]) {
    await refused("profile-invalid", /cannot keep/, () =>
      install(sampleTree(), ["/etc"], { keep: [fromText(pattern)] }),
    );
  }
  const { keptNowhere } = await install(sampleTree(), ["/etc"], {
    keep: ["/etc/x", "/opt/x", "/*/y", "/et/x"].map(fromText),
  });
  assert.deepEqual(keptNowhere, ["/opt/x", "/et/x"]);
});

test("the identity of what the root has below an overlay follows from all of it", async () => {
  const identity = async (change: (tree: Tree) => void) => {
    const tree = sampleTree();
    addNode(
      tree,
      fromText("etc/file"),
      newFile(contentOf(Buffer.from("one")), { mtime: { seconds: 1, nanoseconds: 0 } }),
    );
    change(tree);
    await install(tree, ["/etc"]);
    return /overlay etc (\S+)/.exec(await textOf(tree, "usr/lib/imgbuild/preinit.conf"))![1]!;
  };
  const usual = await identity(() => {});
  const file = (content: string, metadata: object) => (tree: Tree) =>
    addNode(tree, fromText("etc/file"), newFile(contentOf(Buffer.from(content)), metadata));
  assert.equal(await identity(file("one", { mtime: { seconds: 2, nanoseconds: 0 } })), usual, "times do not count");
  assert.equal(
    await identity((tree) => addNode(tree, fromText("usr/x"), program())),
    usual,
    "nor does what is elsewhere",
  );
  const others = await Promise.all(
    [
      file("two", {}),
      file("one", { mode: 0o600 }),
      file("one", { uid: 1 }),
      (tree: Tree) => addNode(tree, fromText("etc/a\nb"), program()),
      (tree: Tree) => addNode(tree, fromText("etc/file"), link("x")),
      (tree: Tree) =>
        addNode(tree, fromText("etc/node"), { type: "character", ...newMetadata(0o600), major: 1, minor: 2 }),
      (tree: Tree) =>
        addNode(tree, fromText("etc/node"), { type: "character", ...newMetadata(0o600), major: 1, minor: 3 }),
      (tree: Tree) => Object.assign(makeDirectories(tree, fromText("etc")), { mode: 0o700 }),
    ].map(identity),
  );
  assert.equal(new Set([usual, ...others]).size, 9);
});

test("the manifest is there where it is needed, and is what sha256sum says", async (t) => {
  if (lacks(t, "sha256sum")) return;
  const tree = sampleTree();
  addNode(tree, fromText("etc/file"), newFile(contentOf(Buffer.from("one")), { mode: 0o4755, uid: 3, gid: 4 }));
  addNode(tree, fromText("etc/link"), link("file"));
  makeDirectories(tree, fromText("etc/sub"));
  addNode(tree, fromText("etc/sub/ blank"), program());
  await install(tree, ["/etc"], { newRoot: "refresh" });
  const sum = (text: string) => run("sha256sum", [], { input: Buffer.from(text) }).slice(0, 64);
  assert.equal(
    await textOf(tree, "usr/lib/imgbuild/manifest/etc"),
    `d 755 0:0 - .\nf 4755 3:4 ${sum("one")} file\nl 777 0:0 ${sum("file")} link\nd 755 0:0 - sub\nf 755 0:0 ${sum("\x7fELF")} sub/ blank\n`,
  );
  await install(tree, ["/"], { newRoot: "refresh" });
  assert.doesNotMatch(await textOf(tree, "usr/lib/imgbuild/manifest/%2f"), /usr\/lib\/imgbuild/);
});

test("who tells that the boot has completed depends on the init system", async () => {
  const hookOf = async (build: (tree: Tree) => void) => {
    const tree = sampleTree();
    build(tree);
    const { added } = await install(tree);
    const first = /\nfirst (\S+)\n/.exec(await textOf(tree, "usr/lib/imgbuild/preinit.conf"))![1];
    return [first, ...added.filter((path) => path.includes("imgbuild-ready"))];
  };
  const systemd = (tree: Tree) => {
    addNode(tree, fromText("lib/systemd/systemd"), program());
    addNode(tree, fromText("sbin/init"), link("/lib/systemd/systemd"));
  };
  const unit = (at: string) => [`${at}/imgbuild-ready.service`, `${at}/multi-user.target.wants/imgbuild-ready.service`];
  assert.deepEqual(await hookOf(systemd), ["pending", ...unit("/lib/systemd/system")]);
  assert.deepEqual(
    await hookOf((tree) => {
      makeDirectories(tree, fromText("usr/lib/systemd/system"));
      addNode(tree, fromText("usr/lib/systemd/systemd"), program());
      addNode(tree, fromText("sbin/init"), link("../usr/lib/systemd/systemd"));
    }),
    ["pending", ...unit("/usr/lib/systemd/system")],
  );
  assert.deepEqual(await hookOf(() => {}), ["ready"]);
  const file = newFile(contentOf(Buffer.from("")));
  const sysvinit = (tree: Tree) => {
    addNode(tree, fromText("etc/init.d/rc"), file);
    for (const level of [2, 3, 5]) makeDirectories(tree, fromText(`etc/rc${level}.d`));
  };
  assert.deepEqual(await hookOf(sysvinit), [
    ...["pending", "/etc/init.d/imgbuild-ready"],
    ...[2, 3, 5].map((level) => `/etc/rc${level}.d/S99imgbuild-ready`),
  ]);
  const startpar = sampleTree();
  sysvinit(startpar);
  const list = "TARGETS = one two\nINTERACTIVE = two\ntwo: one\n";
  addNode(startpar, fromText("etc/init.d/.depend.start"), newFile(contentOf(Buffer.from(list))));
  await install(startpar);
  assert.equal(
    await textOf(startpar, "etc/init.d/.depend.start"),
    "TARGETS = one two imgbuild-ready\nINTERACTIVE = two\ntwo: one\nimgbuild-ready: one two\n",
  );
  const rcS = (tree: Tree) => addNode(tree, fromText("etc/init.d/rcS"), file);
  assert.deepEqual(await hookOf(rcS), ["ready"]);
  assert.deepEqual(
    await hookOf((tree) => {
      rcS(tree);
      addNode(tree, fromText("etc/init.d/S40network"), file);
    }),
    ["pending", "/etc/init.d/S99imgbuild-ready"],
  );
});

test("symlinks in the root are followed", async () => {
  const tree = sampleTree();
  addNode(tree, fromText("home"), link("var/home"));
  makeDirectories(tree, fromText("var/home/root"));
  makeDirectories(tree, fromText("usr/lib64"));
  addNode(tree, fromText("usr/lib"), link("lib64"));
  addNode(tree, fromText("tmp"), link("var/volatile/tmp"));
  await install(tree);
  assert.match(
    await textOf(tree, "usr/lib64/imgbuild/preinit.conf"),
    /^overlay home-root [0-9a-f]{32} \/var\/home\/root$/m,
  );
  assert.equal(lookup(tree, fromText("var/volatile/tmp"))?.mode, 0o1777);
  assert.equal(lookup(tree, fromText("tmp"))?.type, "symlink");
  await refused("profile-invalid", /the same folder/, () => install(tree, ["/home", "/var/home"]));
});

test("the real init is the first that can run", async () => {
  const tree = sampleTree();
  addNode(tree, fromText("sbin/init"), link("/gone"));
  addNode(tree, fromText("etc/init"), newFile(contentOf(new Uint8Array(1)), { mode: 0o644 }));
  assert.equal((await install(tree)).realInit, "/bin/sh");
  addNode(tree, fromText("lib/systemd/systemd"), program());
  assert.equal((await install(tree)).realInit, "/lib/systemd/systemd");
});

test("systemd is told to leave the mounts alone, by the names that it has for them", async () => {
  // As `systemd-escape --path --suffix=mount` says.
  const names = {
    "/.hidden/a.b": "\\x2ehidden-a.b.mount",
    "/opt/my-app": "opt-my\\x2dapp.mount",
    "/srv/a@b": "srv-a\\x40b.mount",
    "/var": "var.mount",
  };
  const units = async (paths: readonly string[]) => {
    const tree = sampleTree();
    addNode(tree, fromText("lib/systemd/systemd"), program());
    addNode(tree, fromText("sbin/init"), link("/lib/systemd/systemd"));
    const file = newFile(contentOf(Buffer.from("")));
    addNode(tree, fromText("lib/systemd/system/tmp.mount"), file);
    const { added } = await install(tree, paths, { volatile: [fromText("/var/log"), fromText("/tmp")] });
    const folder = "/lib/systemd/system/";
    assert.equal(lookup(tree, fromText(`${folder}tmp.mount`)), file, "the root's own stays");
    return added.filter((name) => name.startsWith(folder) && !name.includes("ready")).map((name) => name.slice(20));
  };
  assert.deepEqual(await units(Object.keys(names)), ["userdata.mount", ...Object.values(names), "var-log.mount"]);
  assert.deepEqual(await units(["/"]), [
    ...["userdata.mount", "rom.mount", "var-log.mount"],
    "systemd-remount-fs.service.d/imgbuild.conf",
  ]);
});

test("a root that cannot run the script is refused", async () => {
  const tree = sampleTree();
  addNode(tree, fromText("lib/systemd/systemd"), program());
  const { entries } = lookup(tree, fromText("bin")) as ReturnType<typeof newDirectory>;
  entries.delete(fromText("sh"));
  entries.delete(fromText("stat"));
  await refused("source-invalid", /: \/bin\/sh, stat$/, () => install(tree));
  await refused("source-invalid", /has no init: no program \/sbin\/init, /, () => install({ root: newDirectory() }));
});

test("what it boots without may be missing, and is named", async () => {
  const tree = sampleTree();
  const { entries } = lookup(tree, fromText("bin")) as ReturnType<typeof newDirectory>;
  for (const name of ["tar", "cmp"]) entries.delete(fromText(name));
  assert.deepEqual((await install(tree)).lacking, ["cmp", "tar"]);
  entries.delete(fromText("pivot_root"));
  await refused("source-invalid", /: pivot_root$/, () => install(tree, ["/"]));
});

test("what cannot be a mount point is refused by name", async () => {
  for (const name of ["proc", "userdata", "home/root"]) {
    const tree = sampleTree();
    addNode(tree, fromText(name), newFile(contentOf(new Uint8Array(0))));
    await refused("source-invalid", new RegExp(`^/${name} has to be a folder, but is a file$`), () => install(tree));
  }
});

test("paths that no overlay can be laid over are refused", async () => {
  const bad = ["home/root", "/a/../b", "/a b", "/a,b", "/a:b", "/a\\b", "/a\nb", `/${"x".repeat(252)}`];
  for (const name of bad)
    await refused("profile-invalid", /^there can be no overlay of /, () => userdataUpper(fromText(name)));
  for (const name of ["/run/x", "/proc", "/userdata/a", "/dev"]) {
    await refused("profile-invalid", /is not on the root/, () => install(sampleTree(), [name]));
  }
});

test("so are paths that symlinks in the root lead to such places", async () => {
  for (const [target, reason] of [
    ["data:1", /"\/home\/user": the path leads to "\/data:1\/user", which has a blank/],
    ["/mnt/my data", /leads to "\/mnt\/my data\/user"/],
    ["a,upperdir=/b", /leads to "\/a,upperdir=\/b\/user"/],
    ["a\ninit /evil", /leads to /],
    ["/run", /\/run is not on the root/],
  ] as const) {
    const tree = sampleTree();
    addNode(tree, fromText("home"), link(target));
    await refused("profile-invalid", reason, () => install(tree, ["/home/user"]));
  }
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

test("growth: what the device has to know of the table, and the programs that it wants", async () => {
  const tree = sampleTree();
  const { lackingToGrow } = await install(tree, ["/etc"], { growth: { extended: 4, reserved: [2 ** 20, 2 ** 30] } });
  assert.deepEqual(lackingToGrow, ["sfdisk", "partx", "resize2fs"]);
  assert.match(await textOf(tree, "usr/lib/imgbuild/preinit.conf"), /\ngrow 4\nreserved 2048\nreserved 2097152\n/);
  const none = sampleTree();
  assert.deepEqual((await install(none)).lackingToGrow, []);
  assert.doesNotMatch(await textOf(none, "usr/lib/imgbuild/preinit.conf"), /grow/);
  const all = sampleTree();
  for (const name of ["sbin/sfdisk", "bin/partx", "sbin/resize2fs"]) addNode(all, fromText(name), program());
  const growth = { reserved: [] };
  assert.deepEqual((await install(all, ["/etc"], { growth })).lackingToGrow, []);
  assert.match(await textOf(all, "usr/lib/imgbuild/preinit.conf"), /\ngrow -\n/);
});

test("overlays inside of overlays: as many as the kernel lays over each other", async () => {
  const filled = () => {
    const tree = sampleTree();
    makeDirectories(tree, fromText("a/b/c/d"));
    return tree;
  };
  await install(filled(), ["/a", "/a/b"]);
  await install(filled(), ["/"], { volatile: ["/a/b"].map(fromText) });
  // A tmpfs lies over nothing.
  await install(filled(), ["/a", "/a/b"], { volatile: ["/a/b/c/d"].map(fromText) });
  const deep =
    /^there can be no overlay of "?\/a\/b\/c"?: it is in those of .*\/a.* and .*\/a\/b.*, and the kernel lays no more than 2/;
  await refused("profile-invalid", deep, () => install(filled(), ["/a", "/a/b", "/a/b/c"]));
  await refused("profile-invalid", deep, () =>
    install(filled(), ["/a", "/a/b"], { volatile: ["/a/b/c"].map(fromText) }),
  );
  const from = { kind: "userdata", file: "app.squashfs" } as const;
  await refused("profile-invalid", deep, () =>
    install(filled(), ["/a", "/a/b"], { layers: [{ path: fromText("/a/b/c"), from }] }),
  );
});

test("layers stand in the configuration in front of what they are below", async () => {
  const tree = sampleTree();
  const file = (name: string) => ({ kind: "userdata", file: name }) as const;
  await install(tree, ["/etc", "/home"], {
    layers: [
      { path: fromText("/home/"), from: file("one") },
      { path: fromText("/opt/app"), from: { kind: "device", specification: "LABEL=apps" } },
      { path: fromText("/home"), from: { kind: "partition", number: 6 } },
    ],
  });
  const config = await textOf(tree, "usr/lib/imgbuild/preinit.conf");
  assert.deepEqual(config.split("\n").slice(5, -1), [
    `overlay etc ${EMPTY} /etc`,
    "layer 1 home userdata one",
    "layer 2 home partition 6",
    `overlay home ${EMPTY} /home`,
    "layer 3 opt-app device LABEL=apps",
    "readonly opt-app - /opt/app",
  ]);
  await refused("profile-invalid", /layers over "\/" need an overlay of the whole root/, () =>
    install(sampleTree(), ["/etc"], { layers: [{ path: fromText("/"), from: file("one") }] }),
  );
  await refused("profile-invalid", /there can be no overlay of "?\/dev/, () =>
    install(sampleTree(), ["/etc"], { layers: [{ path: fromText("/dev/x"), from: file("one") }] }),
  );
});
