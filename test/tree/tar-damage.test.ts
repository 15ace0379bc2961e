/** Archives that no sane program writes, and odd ones that some did. Built here byte by byte. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import { readTar } from "../../src/host.js";
import { lookup, type RegularFile, readContent, walk } from "../../src/tree/index.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

interface Fields {
  name: string;
  type?: string;
  link?: string;
  size?: string;
  mtime?: string;
  uid?: string;
  magic?: string;
  signed?: boolean;
}

/** A ustar header block, written from POSIX's table: offsets in decimal. */
function header({
  name,
  type = "0",
  link = "",
  size = "0",
  mtime = "0",
  uid = "0",
  magic = "ustar\x0000",
  signed,
}: Fields): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, "latin1");
  block.write("0000644", 100);
  block.write(uid, 108, "latin1");
  block.write("0", 116);
  block.write(size, 124, "latin1");
  block.write(mtime, 136, "latin1");
  block.write(type, 156);
  block.write(link, 157, "latin1");
  block.write(magic, 257, "latin1");
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + (signed && byte > 127 ? byte - 256 : byte), 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

const octal = (value: number) => value.toString(8).padStart(11, "0");

function data(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

const END = Buffer.alloc(1024);
const member = (name: string, text: string) => [header({ name, size: octal(text.length) }), data(text)];

function pax(records: Record<string, string>, type = "x"): Buffer[] {
  const text = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = rest.length + 1;
      while (`${length}${rest}`.length !== length) length++;
      return `${length}${rest}`;
    })
    .join("");
  return [header({ name: "pax", type, size: octal(text.length) }), data(text)];
}

async function* streamOf(parts: readonly Buffer[]) {
  yield Buffer.concat(parts);
}

/** The text of the regular file at `name` of an archive made of `parts`. */
async function textOf(folder: string, name: string, ...parts: Buffer[]): Promise<string> {
  const tree = await readTar(streamOf(parts), { spool: folder });
  const node = lookup(tree, fromText(name)) as RegularFile;
  assert.equal(node?.type, "file", `${name} is there`);
  const text = Buffer.from(await readContent(node.content)).toString("latin1");
  tree.close();
  return text;
}

async function refused(folder: string, code: string, pattern: RegExp, ...parts: Buffer[]): Promise<ImgbuildError> {
  let found: unknown;
  await assert.rejects(readTar(streamOf(parts), { spool: folder }), (error) => {
    found = error;
    return true;
  });
  assert.ok(found instanceof ImgbuildError, String(found));
  assert.equal(found.code, code, found.message);
  assert.match(found.message, pattern);
  assert.ok(found.hint);
  return found;
}

test("hard links to earlier and to later members, and links to links", async (t) => {
  const folder = temporaryFolder(t);
  const parts = [
    header({ name: "first", type: "1", link: "second" }),
    header({ name: "second", type: "1", link: "./file" }),
    ...member("file", "content"),
    header({ name: "last", type: "1", link: "/first" }),
    END,
  ];
  const tree = await readTar(streamOf(parts), { spool: folder });
  const nodes = ["file", "first", "second", "last"].map((name) => lookup(tree, fromText(name)));
  assert.equal(new Set(nodes).size, 1);
  assert.equal(nodes[0]!.type, "file");
  tree.close();
  const missing = header({ name: "a/link", type: "1", link: "none" });
  await refused(folder, "source-invalid", /a\/link is a hard link to none, which is not in the archive/, missing, END);
});

test("a hard link with the content once more, and one with a size only", async (t) => {
  const folder = temporaryFolder(t);
  const size = octal(7);
  const link = header({ name: "link", type: "1", link: "file", size });
  assert.equal(await textOf(folder, "after", ...member("file", "content"), link, ...member("after", "a"), END), "a");
  const repeated = [link, data("content")];
  assert.equal(
    await textOf(folder, "after", ...member("file", "content"), ...repeated, ...member("after", "b"), END),
    "b",
  );
});

test("paths that leave the tree or go through a symlink are refused by name", async (t) => {
  const folder = temporaryFolder(t);
  assert.equal(await textOf(folder, "etc/passwd", ...member("/./etc//passwd", "x"), END), "x");
  await refused(
    folder,
    "source-unsupported",
    /a\/\.\.\/b, at byte 1024/,
    ...member("c", "x"),
    ...member("a/../b", "x"),
    END,
  );
  await refused(folder, "source-unsupported", /links to \.\.\/x/, header({ name: "l", type: "1", link: "../x" }), END);
  const symlink = header({ name: "lib", type: "2", link: "/etc" });
  await refused(
    folder,
    "source-invalid",
    /lib\/a lies below lib, which is a symlink to \/etc/,
    symlink,
    ...member("lib/a", "x"),
    END,
  );
  await refused(
    folder,
    "source-invalid",
    /f\/a lies below f, which is a file/,
    ...member("f", ""),
    ...member("f/a", "x"),
    END,
  );
});

test("an archive without its end mark is taken, with a notice, where a member ends", async (t) => {
  if (lacks(t, "tar")) return;
  const folder = temporaryFolder(t);
  const whole = Buffer.concat([...member("a", "x".repeat(600)), ...member("b", "y")]);
  // GNU tar takes it as well, without a word.
  fs.writeFileSync(path.join(folder, "open.tar"), whole);
  assert.equal(run("tar", ["-tf", path.join(folder, "open.tar")]), "a\nb\n");
  for (const source of [path.join(folder, "open.tar"), streamOf([whole])]) {
    const notices: string[] = [];
    const tree = await readTar(source, { spool: folder, observer: { notice: (text) => void notices.push(text) } });
    assert.deepEqual(
      Array.from(walk(tree), ({ path }) => path),
      ["", "a", "b"],
    );
    assert.equal(notices.length, 1);
    assert.match(notices[0]!, /: it ends without the two blocks of zeros/);
    tree.close();
  }
  // One block of zeros is a mark too.
  const notices: string[] = [];
  const observer = { notice: (text: string) => void notices.push(text) };
  (await readTar(streamOf([whole, Buffer.alloc(512)]), { spool: folder, observer })).close();
  assert.deepEqual(notices, []);
});

test("damage is told with the byte it is at", async (t) => {
  const folder = temporaryFolder(t);
  const good = Buffer.concat([...member("a", "x".repeat(600)), ...member("b", "y"), END]);
  const damaged = Buffer.from(good);
  damaged[1536 + 5]! ^= 1;
  const checksum = await refused(folder, "source-invalid", /byte 1536: the checksum/, damaged);
  assert.deepEqual(checksum.data, { offset: 1536 });
  await refused(folder, "source-invalid", /byte 1000: it ends 112 bytes before a does/, good.subarray(0, 1000));
  await refused(folder, "source-invalid", /byte 1736: it ends inside a header/, good.subarray(0, 1736));
  await refused(folder, "source-invalid", /it ends without the two blocks of zeros/, good.subarray(0, 2049));
  // The name of a member that does not come.
  const [long, name] = pax({ path: "c" });
  await refused(folder, "source-invalid", /byte 3584: it ends without/, good.subarray(0, 2560), long!, name!);
  await refused(folder, "source-invalid", /is empty/, Buffer.alloc(0));
  await refused(folder, "source-invalid", /size is not an octal number/, header({ name: "a", size: "9" }), END);
  await refused(
    folder,
    "source-invalid",
    /a pax record is malformed/,
    header({ name: "p", type: "x", size: octal(9) }),
    data("99 path=a"),
    END,
  );
  await refused(
    folder,
    "source-invalid",
    /claims 99999999 bytes/,
    header({ name: "p", type: "x", size: octal(99_999_999) }),
    END,
  );
  await refused(
    folder,
    "source-invalid",
    /sparse map does not fit/,
    ...pax({ "GNU.sparse.map": "0,5", "GNU.sparse.size": "4" }),
    ...member("s", "12345"),
    END,
  );
  await refused(
    folder,
    "source-unsupported",
    /v, at byte 0 of the tar, is of the unknown type "Z"/,
    header({ name: "v", type: "Z" }),
    END,
  );
  await refused(
    folder,
    "source-unsupported",
    /continuation of a file from another volume/,
    header({ name: "v", type: "M" }),
    END,
  );
  const negative = header({ name: "v", type: "V", size: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00" });
  await refused(folder, "source-invalid", /has a size of -256/, negative, END);
  await refused(folder, "source-unsupported", /is a bzip2 file, not a tar/, Buffer.from("BZh91AY&SY"));
  const cut = Buffer.from("1f8b0800000000000003", "hex");
  await refused(folder, "source-invalid", /standard input: the gzip data is damaged: unexpected end of file/, cut);
});

test("an empty archive is an empty root", async (t) => {
  const tree = await readTar(streamOf([END]), { spool: temporaryFolder(t) });
  assert.equal(tree.root.entries.size, 0);
  assert.equal(tree.root.mode, 0o755);
  tree.close();
});

test("odd numbers, checksums and members", async (t) => {
  const folder = temporaryFolder(t);
  const read = async (...parts: Buffer[]) => {
    const tree = await readTar(streamOf([...parts, END]), { spool: folder });
    tree.close();
    return [...tree.root.entries.values()][0]!;
  };
  const binary = (bytes: string) => Buffer.from(bytes, "hex").toString("latin1");
  assert.equal((await read(header({ name: "a", uid: binary("80000000fffffffe") }))).uid, 2 ** 32 - 2);
  assert.equal((await read(header({ name: "a", mtime: binary("ffffffffffffffffffffffff") }))).mtime.seconds, -1);
  assert.equal(
    (await read(header({ name: "a", mtime: binary("80000000000000010000000f") }))).mtime.seconds,
    2 ** 32 + 15,
  );
  assert.equal((await read(header({ name: "a", mtime: " 17  " }))).mtime.seconds, 15);
  await assert.rejects(
    read(header({ name: "a", uid: binary("8000000100000000") })),
    /4294967296, which is no 32-bit id/,
  );
  assert.equal((await read(header({ name: "\xff\xfe", signed: true }))).type, "file");
  assert.equal((await read(header({ name: "old/", magic: "" }))).type, "directory");
  assert.equal((await read(header({ name: "old", type: "7" }))).type, "file");
  assert.equal((await read(header({ name: "label", type: "V" }), ...member("x", ""))).type, "file");
});

test("pax records: global ones, ones that take others back, raw bytes, LIBARCHIVE and RHT attributes", async (t) => {
  const folder = temporaryFolder(t);
  const parts = [
    ...pax({ uid: "7", mtime: "5.5", comment: "x" }, "g"),
    ...pax({ path: "caf\xe9", hdrcharset: "BINARY", uid: "" }),
    header({ name: "short", uid: "0000003" }),
    ...pax({
      "LIBARCHIVE.xattr.user.a%20b": "AP8=",
      "SCHILY.xattr.user.raw": "\x00\n=\xff",
      "SCHILY.xattr.system.nfs4_acl": "x",
      "RHT.security.selinux": "system_u:object_r:bin_t:s0",
    }),
    header({ name: "second" }),
    END,
  ];
  const tree = await readTar(streamOf(parts), { spool: folder });
  tree.close();
  const first = tree.root.entries.get("caf\xe9" as never)!;
  assert.equal(first.uid, 3);
  assert.deepEqual(first.mtime, { seconds: 5, nanoseconds: 500_000_000 });
  const second = tree.root.entries.get("second" as never)!;
  assert.equal(second.uid, 7);
  assert.deepEqual(
    [...second.xattrs].map(([name, value]) => [name, Buffer.from(value).toString("latin1")]),
    [
      ["user.a b", "\x00\xff"],
      ["user.raw", "\x00\n=\xff"],
      ["security.selinux", "system_u:object_r:bin_t:s0\0"],
    ],
  );
});

test("what is left out is told once", async (t) => {
  const folder = temporaryFolder(t);
  const acl = { "SCHILY.acl.access": "user::rw-" };
  const notices: string[] = [];
  const parts = [...pax(acl), ...member("a", ""), ...pax(acl), ...member("b", ""), END];
  const tree = await readTar(streamOf(parts), { spool: folder, observer: { notice: (text) => notices.push(text) } });
  tree.close();
  assert.equal(notices.length, 1);
  assert.match(notices[0]!, /access control lists/);
});

test("what follows the end of an archive is not read, and a notice says so", async (t) => {
  const folder = temporaryFolder(t);
  const notices: string[] = [];
  const observer = { notice: (text: string) => notices.push(text) };
  const parts = [...member("a", ""), END, Buffer.alloc(8192), ...member("b", ""), END];
  const tree = await readTar(streamOf(parts), { spool: folder, observer });
  tree.close();
  assert.deepEqual([...tree.root.entries.keys()], ["a"]);
  assert.deepEqual(notices, ["standard input: the archive ends at byte 512; what follows at byte 9728 is not read"]);
});

test("random damage is refused or read, and nothing else", async (t) => {
  const folder = temporaryFolder(t);
  const good = Buffer.concat([
    ...pax({ path: "a/file", uid: "70000", "SCHILY.xattr.user.x": "value", "LIBARCHIVE.xattr.user.y": "AAAA" }),
    ...member("short", "content"),
    ...pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "5000", "GNU.sparse.name": "s" }),
    ...member("sparse", `${"1\n4096\n4\n".padEnd(512, "\0")}data`),
    header({ name: "link", type: "1", link: "a/file" }),
    header({ name: "dev", type: "3" }),
    ...member("old", "x".repeat(3000)),
    END,
  ]);
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
      async (changes, repaired) => {
        const bytes = Buffer.from(good);
        for (const [at, value] of changes) {
          bytes[at] = value;
          const block = bytes.subarray(at - (at % 512), at - (at % 512) + 512);
          if (!repaired || block.toString("latin1", 257, 262) !== "ustar") continue;
          block.fill(" ", 148, 156);
          block.write(
            `${block
              .reduce((sum, byte) => sum + byte, 0)
              .toString(8)
              .padStart(6, "0")}\0 `,
            148,
          );
        }
        try {
          const tree = await readTar(streamOf([bytes]), { spool: folder });
          for (const { node } of walk(tree)) if (node.type === "file") await readContent(node.content);
          tree.close();
        } catch (error) {
          assert.ok(
            error instanceof ImgbuildError && /^source-(?:invalid|unsupported)$/.test(error.code),
            String(error),
          );
          refusals++;
        }
      },
    ),
    { numRuns: 600 },
  );
  assert.ok(refusals > 0);
});

test("an archive that is rewritten while its contents are read", async (t) => {
  const folder = temporaryFolder(t);
  const archive = path.join(folder, "t.tar");
  fs.writeFileSync(archive, Buffer.concat([...member("a", "x".repeat(5000)), END]));
  const tree = await readTar(archive, { spool: folder });
  const { content } = lookup(tree, fromText("a")) as RegularFile;
  const reader = await content.open();
  fs.truncateSync(archive, 600);
  const code = (error: unknown) => error instanceof ImgbuildError && error.code === "source-changed";
  await assert.rejects(reader.read(0, new Uint8Array(5000)), code);
  await assert.rejects(content.open(), code);
  tree.close();
  await assert.rejects(
    readTar(path.join(folder, "none.tar"), { spool: folder }),
    (error: unknown) => error instanceof ImgbuildError && error.code === "source-missing",
  );
});
