import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { encodeCapabilities } from "../../src/tree/capabilities.js";
import {
  addNode,
  applyDeviceTable,
  contentOf,
  lookup,
  newDirectory,
  newFile,
  newMetadata,
  readDeviceTable,
  type Tree,
} from "../../src/tree/index.js";
import { describeTree } from "../support/describe.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

/** A merged-/usr root: bin is a symlink. */
function root(): Tree {
  const tree: Tree = { root: newDirectory() };
  const mtime = { seconds: 1000, nanoseconds: 0 };
  const file = (name: string, text = "") =>
    addNode(tree, fromText(name), newFile(contentOf(Buffer.from(text)), { uid: 1000, gid: 1000, mtime }));
  file("usr/bin/busybox");
  file("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:44::/:/bin/false\n");
  file("etc/group", "root:x:0:\nwww-data:x:55:\n");
  file("srv/a/b");
  addNode(tree, fromText("bin"), { type: "symlink", ...newMetadata(0o777), target: fromText("/usr/bin") });
  addNode(tree, fromText("srv/link"), { type: "symlink", ...newMetadata(0o777), target: fromText("a") });
  return tree;
}

async function applied(table: string): Promise<Map<string, string>> {
  const tree = root();
  await applyDeviceTable(tree, readDeviceTable(table, "table.txt"));
  return describeTree(tree);
}

test("the example of makedevs' own help", async () => {
  const lines = await applied(`
# <name>    <type> <mode> <uid> <gid> <major> <minor> <start> <inc> <count>
/dev         d    755    0    0     -       -       -       -     -
/dev/console c    666    0    0     5       1       -       -     -
/dev/null    c    666    0    0     1       3       0       0     -
/dev/hda     b    640    0    0     3       0       0       0     -
/dev/hda     b    640    0    0     3       1       1       1     15
/dev/rtp     b    640    0    0     250     0       0       1     5
/dev/gps     b    640    0    0     251     0       1       1     5
/dev/uio     b    640    0    0     252     0       1       2     5
/dev/uio     b    640    0    0     252     1       6       2     5
`);
  const devices = [...lines].filter(([name]) => name.startsWith("dev/")).map(([name, line]) => [name.slice(4), line]);
  const range = (name: string, first: number, count: number, major: number, minor: number, increment: number) =>
    Array.from({ length: count }, (_, i): [string, string] => [
      `${name}${first + i}`,
      `block 0640 0:0 @1000 ${major},${minor + i * increment}`,
    ]);
  // As the help says: hda[1-15] have minors 1-15, rtp[0-4] 0-4, gps[1-5] 0-4, uio[1-5] 0,2,4,6,8, uio[6-10] 1,3,5,7,9.
  const expected = new Map<string, string>([
    ["console", "character 0666 0:0 @1000 5,1"],
    ["null", "character 0666 0:0 @1000 1,3"],
    ["hda", "block 0640 0:0 @1000 3,0"],
    ...range("hda", 1, 15, 3, 1, 1),
    ...range("rtp", 0, 5, 250, 0, 1),
    ...range("gps", 1, 5, 251, 0, 1),
    ...range("uio", 1, 5, 252, 0, 2),
    ...range("uio", 6, 5, 252, 1, 2),
  ]);
  assert.deepEqual(new Map(devices as [string, string][]), expected);
});

test("files, folders, recursion, names of users, -1, and merged /usr", async () => {
  const lines = await applied(`
/bin/busybox f 4755 0 0 - - - - -
/etc/missing F 600 0 0
/srv r -1 www www-data - - - - -
/var/new/deep d 1777 7 8 - - - - -
/etc d -1 5 6
/run/initctl p 600 0 0 - - - - -
`);
  assert.match(lines.get("usr/bin/busybox")!, /^file 4755 0:0 /);
  assert.equal(lines.get("bin"), "symlink 0777 0:0 @0 -> /usr/bin");
  assert.match(lines.get("srv")!, /^directory 0755 33:55 /);
  assert.match(lines.get("srv/a/b")!, /^file 0644 33:55 /);
  assert.match(lines.get("srv/link")!, /^symlink 0777 33:55 /);
  assert.match(lines.get("var/new/deep")!, /^directory 1777 7:8 @1000/);
  assert.match(lines.get("var/new")!, /^directory 0755 /);
  assert.match(lines.get("etc")!, /^directory 0755 5:6 /);
  assert.match(lines.get("etc/passwd")!, /^file 0644 1000:1000 /);
  assert.match(lines.get("run/initctl")!, /^fifo 0600 0:0 /);
});

test("errors name file and line", async () => {
  const cases: [string, RegExp][] = [
    ["/x q 644 0 0", /^table\.txt:1: the type "q"/],
    ["# c\n\n/x f 9 0 0", /^table\.txt:3: the mode "9"/],
    ["/x c 644 0 0 5000 1", /^table\.txt:1: the major number "5000"/],
    ["/x c 644 0 0 1 1048570 0 1 10", /^table\.txt:1: the last minor/],
    ["|xattr cap_net_raw+ep", /^table\.txt:1: \|xattr has to follow/],
    ["/bin/busybox f 755 0 0\n|xattr cap_fly+ep", /^table\.txt:2: "cap_fly" is not a capability/],
    ["/none f 644 0 0", /^table\.txt:1: \/none does not exist/],
    ["/srv f 644 0 0", /^table\.txt:1: \/srv is no file, but a directory/],
    ["/none r 644 0 0", /^table\.txt:1: \/none does not exist/],
    ["/etc/passwd c 644 0 0 1 1", /^table\.txt:1: \/etc\/passwd exists already, as a file/],
    ["/etc/passwd/x c 644 0 0 1 1", /^table\.txt:1: etc\/passwd is not a folder/],
    ["/etc/passwd f 644 nobody 0", /^table\.txt:1: "nobody" is neither a number/],
    ["/../x d 755 0 0", /^table\.txt:1: \/\.\.\/x is not a path below the root/],
  ];
  for (const [table, pattern] of cases) {
    await assert.rejects(applied(table), (error: unknown) => {
      assert.ok(error instanceof ImgbuildError && error.code === "source-invalid" && error.hint);
      assert.match(error.message, pattern);
      return true;
    });
  }
});

test("capabilities add up over |xattr lines", async () => {
  const tree = root();
  await applyDeviceTable(
    tree,
    readDeviceTable("/bin/busybox f 755 0 0\n |xattr cap_net_raw+ep\n|xattr cap_bpf+ep\n", "table.txt"),
  );
  assert.deepEqual(
    [...lookup(tree, fromText("usr/bin/busybox"))!.xattrs],
    [["security.capability", encodeCapabilities("cap_net_raw,cap_bpf+ep")]],
  );
});

test("capabilities are encoded as libcap encodes them", (t) => {
  if (lacksRoot(t) || lacks(t, "setcap", "getfattr")) return;
  const file = path.join(temporaryFolder(t), "file");
  fs.writeFileSync(file, "");
  for (const text of [
    "cap_net_raw+ep",
    "cap_net_raw+p",
    "cap_chown,cap_syslog=eip",
    "cap_checkpoint_restore,cap_sys_admin+i",
    "cap_setuid+ep cap_setgid+ep",
    "cap_setuid,cap_setgid+epi cap_setgid-epi",
    "=p cap_kill-p",
    "all=ep",
    "cap_kill=p+i-p",
  ]) {
    run("setcap", [text, file]);
    const stored = /security\.capability=0x(\w+)/.exec(run("getfattr", ["-d", "-m", "-", "-e", "hex", file]));
    assert.equal(Buffer.from(encodeCapabilities(text)).toString("hex"), stored?.[1], text);
  }
  assert.throws(() => encodeCapabilities("cap_kill+ep cap_chown+p"), /effective and others not/);
  assert.throws(() => encodeCapabilities("cap_kill"), /is not a list of capabilities/);
});
