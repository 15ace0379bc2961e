import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { MemoryDevice } from "../../src/bytes/device.js";
import { ImgbuildError } from "../../src/errors.js";
import { applyPseudo, readDirectory, readHostNode, readPseudoFile } from "../../src/host.js";
import { writeSquashfs } from "../../src/squashfs/index.js";
import {
  addNode,
  contentOf,
  lookup,
  newDirectory,
  newFile,
  newMetadata,
  readContent,
  type Tree,
} from "../../src/tree/index.js";
import { describeTree } from "../support/describe.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

/** A merged-/usr root: lib is a symlink. */
function root(): Tree {
  const tree: Tree = { root: newDirectory() };
  const file = (name: string, text: string) => addNode(tree, fromText(name), newFile(contentOf(Buffer.from(text))));
  file("usr/lib/libc.so", "libc");
  file("etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:44::/:/bin/false\n");
  file("etc/group", "root:x:0:\nwww-data:x:55:\n");
  addNode(tree, fromText("lib"), { type: "symlink", ...newMetadata(0o777), target: fromText("usr/lib") });
  return tree;
}

async function applied(t: TestContext, text: string): Promise<{ tree: Tree; notices: string[] }> {
  const tree = root();
  const notices: string[] = [];
  await applyPseudo(tree, readPseudoFile(fromText(text), "p.txt"), {
    time: 1234,
    spool: temporaryFolder(t),
    notice: (notice) => notices.push(notice),
  });
  return { tree, notices };
}

test("users are the tree's own, times what is given, symlinks followed inside the tree", async (t) => {
  const { tree, notices } = await applied(
    t,
    `srv d 750 www www-data
lib/new D 99 700 7 8
/etc m 4711 1 2
/ d 711 3 4
srv/pipe i 600 0 0 f
`,
  );
  const lines = await describeTree(tree);
  assert.equal(lines.get("srv"), "directory 0750 33:55 @1234");
  assert.equal(lines.get("usr/lib/new"), "directory 0700 7:8 @99");
  assert.equal(lines.get("etc"), "directory 4711 1:2 @0");
  assert.equal(lines.get(""), "directory 0711 3:4 @0");
  assert.equal(lines.get("srv/pipe"), "fifo 0600 0:0 @1234");
  assert.deepEqual(notices, []);
});

test("extended attributes in all of their forms", async (t) => {
  const { tree } = await applied(
    t,
    `etc x user.plain=as it = stands
etc x user.hex=0x00ff10
etc x user.base64=0sAP8Q
etc x security.text=0ta\\000\\377b
etc x user.binary=0b0x41
etc x user.byte=7
lib/libc.so x user.base64=0SAA==
`,
  );
  const hex = (name: string) =>
    [...lookup(tree, fromText(name))!.xattrs].map(([key, value]) => [key, Buffer.from(value).toString("hex")]);
  assert.deepEqual(hex("etc"), [
    ["user.plain", Buffer.from("as it = stands").toString("hex")],
    ["user.hex", "00ff10"],
    ["user.base64", "00ff10"],
    ["security.text", "6100ff62"],
    ["user.binary", "30783431"],
    ["user.byte", "37"],
  ]);
  assert.deepEqual(hex("usr/lib/libc.so"), [["user.base64", "00"]]);
});

test("what a command prints, large, binary and empty", async (t) => {
  const { tree } = await applied(
    t,
    `zeros f 644 0 0 head -c 3000000 /dev/zero | tr '\\0' '\\377'
empty f 600 0 0 :
where F 5 644 0 0 pwd; echo " $((1 + \\
1))"
`,
  );
  const bytes = async (name: string) => {
    const node = lookup(tree, fromText(name))!;
    assert.ok(node.type === "file");
    return Buffer.from(await readContent(node.content));
  };
  assert.ok((await bytes("zeros")).equals(Buffer.alloc(3_000_000, 0xff)));
  assert.equal((await bytes("empty")).length, 0);
  assert.equal((await bytes("where")).toString(), `${process.cwd()}\n 2\n`);
});

test("definitions that are mistakes name their line", async (t) => {
  const fails = (text: string, message: RegExp) =>
    assert.rejects(
      applied(t, `# a comment\n\n${text}`),
      (error: ImgbuildError) =>
        error instanceof ImgbuildError &&
        /^source-/.test(error.code) &&
        error.message.startsWith("p.txt:3: ") &&
        message.test(error.message),
      text,
    );
  await fails("name", /the type is missing/);
  await fails("name q 644 0 0", /type "q" is none of/);
  await fails("name d 888 0 0", /mode "888"/);
  await fails("name d 10000 0 0", /mode "10000"/);
  await fails("name d 644 0", /gid is missing/);
  await fails("name d 644 0 0 0", /"0" follows/);
  await fails("name c 644 0 0 4096 0", /major number "4096"/);
  await fails("name b 644 0 0 1 1048576", /minor number "1048576"/);
  await fails("name f 644 0 0", /command is missing/);
  await fails("name f 644 0 0 echo half; exit 3", /`echo half; exit 3` ended with exit code 3/);
  await fails("name f 644 0 0 kill -TERM $$", /ended with signal SIGTERM/);
  await fails("name s 777 0 0", /target is missing/);
  await fails("name i 644 0 0 x", /neither s .* nor f/);
  await fails("name D yesterday 644 0 0", /time "yesterday" is not a number/);
  await fails("name D 4294967296 644 0 0", /time "4294967296"/);
  await fails("name d 644 nobody 0", /"nobody" is neither a number nor in the tree's own/);
  await fails("name d 644 0 4294967296", /"4294967296" is neither/);
  await fails("no/where d 644 0 0", /no place for no\/where: no does not exist/);
  await fails("etc/passwd/x d 644 0 0", /etc\/passwd is a file/);
  await fails("../name d 644 0 0", /not a path below the root/);
  await fails("/ s 777 0 0 x", /root has to be a folder/);
  await fails("name l /no/such/file", /\/no\/such\/file does not exist/);
  await fails("name l /dev", /\/dev is a folder/);
  await fails("name L other", /hard link to other cannot be made/);
  await fails("name L etc", /it is a folder/);
  await fails("name x user.a", /not attribute=value/);
  await fails("name x system.a=1", /cannot be called system\.a/);
  await fails("name x user.a=0x123", /not what 0x announces/);
  await fails("name x user.a=0sA", /not what 0s announces/);
  await fails("name x user.a=0t\\8", /not what 0t announces/);
  await fails("name R 1 644 0 0 5 0", /type R/);
});

const DEFINITIONS = `# comments and blank lines

 /below/before d 0750 1 1
below d 711 2 3
below/before/file F 1000 4755 5 6 printf 'a\\tb'; echo  c   
missing m 644 0 0
folder m 0711 1 2
folder/file M 99 604 7 8
link m 640 7 8
folder d 700 9 9
folder/file f 644 0 0 echo replaced
twice d 755 0 0
twice d 755 0 1
disk B 7 660 0 6 8 1
"a b" C 7 660 0 6 4095 1048575
back\\ sl\\"a\\\\sh S 1000 777 0 6 to here 
continued D \\
  77 1777 \\
  0 0
"quo"ted\\ "na me" D 1 755 0 0
sock I 5 600 0 0 s
fifo I 77 600 0 0 f
outside l ../outside
"outside two" l "../outside"
inside l folder/other
below/hard L below/before/file
`;

test("mksquashfs makes the same of the same definitions", async (t) => {
  if (lacks(t, "mksquashfs", "unsquashfs")) return;
  const folder = temporaryFolder(t);
  const source = path.join(folder, "source");
  fs.mkdirSync(path.join(source, "folder"), { recursive: true });
  fs.writeFileSync(path.join(source, "folder/file"), "hello");
  fs.writeFileSync(path.join(source, "folder/other"), "has two names");
  fs.symlinkSync("folder", path.join(source, "link"));
  fs.writeFileSync(path.join(folder, "outside"), "from the host", { mode: 0o640 });
  fs.writeFileSync(path.join(folder, "p.txt"), DEFINITIONS);
  const list = (image: string) => {
    const listing = run("unsquashfs", ["-lls", "-UTC", "-d", "", path.join(folder, image)], { env: { TZ: "UTC" } });
    // Nodes without a time of their own have the clock's at mksquashfs.
    return listing
      .split("\n")
      .map((line) => (/ (?:\/below|\/twice)$/.test(line) ? line.replace(/ \d{4}-\S+ \S+ /, " ") : line))
      .map((line) => (/ \/below\/before$/.test(line) ? line.replace(/ \d{4}-\S+ \S+ /, " ") : line));
  };
  const options = ["-pf", "../p.txt", "-noappend", "-quiet", "-no-progress", "-no-exports"];
  run("mksquashfs", [".", "../theirs", ...options], { cwd: source });

  const tree = await readDirectory(source);
  const notices: string[] = [];
  await applyPseudo(tree, readPseudoFile(fromText(DEFINITIONS), "p.txt"), {
    time: 0,
    spool: folder,
    hostNode: async (file) => lookup(tree, fromText(file)) ?? readHostNode(path.join(source, file)),
    notice: (text) => notices.push(text),
  });
  const device = new MemoryDevice(2 ** 20);
  const { size } = await writeSquashfs(device, tree, { time: 0 });
  fs.writeFileSync(path.join(folder, "ours"), await device.read(0, size));
  assert.deepEqual(list("ours"), list("theirs"));
  for (const name of ["below/before/file", "below/hard", "outside two", "inside", "folder/file"]) {
    const cat = (image: string) => run("unsquashfs", ["-cat", path.join(folder, image), name]);
    assert.equal(cat("ours"), cat("theirs"), name);
  }
  assert.deepEqual(notices, [
    "p.txt:10: left out: folder is defined at p.txt:7 already",
    "p.txt:11: left out: folder/file is defined at p.txt:8 already",
    "p.txt:13: left out: twice is defined at p.txt:12 already",
    "p.txt:6: left out: missing does not exist",
  ]);
});

test("names that are not UTF-8", async (t) => {
  const tree = root();
  const options = { time: 1, spool: temporaryFolder(t) };
  await applyPseudo(tree, readPseudoFile("\xff\xa0 d 755 0 0\n\xe0\x85 s 777 0 0 \xfe" as ByteString, "p"), options);
  assert.ok(tree.root.entries.has("\xff\xa0" as ByteString));
  const link = tree.root.entries.get("\xe0\x85" as ByteString);
  assert.equal(link?.type === "symlink" && link.target, "\xfe");
});

test("a file of the host that cannot be looked at is an error that names it", async (t) => {
  const options = { time: 1, spool: temporaryFolder(t) };
  const refused = (file: string, code: string, message: RegExp) =>
    assert.rejects(applyPseudo(root(), readPseudoFile(`x l ${file}` as ByteString, "p"), options), { code, message });
  // No host takes a name of 300 bytes, whoever asks.
  await refused(`/${"a".repeat(300)}`, "source-unreadable", /^p:1: cannot read/);
  await refused("/a".repeat(3000), "source-missing", /^p:1: .* does not exist/);
});
