/** Extended attributes in the inode, in blocks, and shared; ACLs as getfacl shows them; capabilities. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { contentOf, newDirectory, newFile, setXattr } from "../../src/tree/node.js";
import { describeDirectory, describeTree } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { assertClean, debugfs, MiB, makeImage } from "./support.js";

const file = (xattrs: Record<string, Uint8Array>, mode = 0o644) =>
  newFile(contentOf(new Uint8Array(1)), {
    mode,
    xattrs: new Map(Object.entries(xattrs)) as Map<ByteString, Uint8Array>,
  });

const ones = (length: number) => new Uint8Array(length).fill(0x31);

/** An ACL as getxattr returns it: version 2, then tag, permissions and id of each entry. */
function acl(...entries: [tag: number, permissions: number, id?: number][]): Uint8Array {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2);
  entries.forEach(([tag, permissions, id = 0xffffffff], i) => {
    bytes.writeUInt16LE(tag, 4 + 8 * i);
    bytes.writeUInt16LE(permissions, 6 + 8 * i);
    bytes.writeUInt32LE(id, 8 + 8 * i);
  });
  return bytes;
}

for (const blockSize of [1024, 4096] as const) {
  test(`attributes in the inode, in a block, in both, with blocks of ${blockSize}`, async (t) => {
    if (lacks(t, "e2fsck", "getfattr") || lacksRoot(t)) return;
    const image = path.join(temporaryFolder(t), "image");
    const nodes = {
      // 96 bytes less the magic number, the end mark, an entry of 16 and a name of 1 padded to 4: 68 are left.
      fits: file({ "user.a": ones(68) }),
      overflows: file({ "user.a": ones(69) }),
      empty: file({ "user.empty": ones(0), "trusted.empty": ones(0) }),
      several: file({ "user.b": ones(5), "user.aa": ones(6), "trusted.z": ones(7), "security.x": ones(8) }),
      block: file({ "user.big": ones(blockSize - 32 - 20 - 4) }),
      both: file({ "user.big": ones(blockSize - 32 - 20 - 4), "user.small": ones(40) }),
      names: file({ [`user.${"n".repeat(250)}`]: ones(3) }),
      capability: file(
        { "security.capability": Buffer.from("0100000200200000000000000000000000000000", "hex") },
        0o755,
      ),
    };
    const root = newDirectory();
    for (const [name, node] of Object.entries(nodes)) root.entries.set(fromText(name), node);
    await makeImage(image, 16 * MiB, { root }, { blockSize });
    assertClean(image);
    assert.match(debugfs(image, "stat /fits"), /File ACL: 0\b/);
    assert.doesNotMatch(debugfs(image, "stat /overflows"), /File ACL: 0\b/);
    const options = { ignore: ["lost+found"] };
    const found = await mounted(image, { type: "ext4" }, (folder) => describeDirectory(folder, options));
    assert.deepEqual(found, await describeTree({ root }, options));
  });
}

test("equal attributes share a block, at most 1024 inodes one", async (t) => {
  if (lacks(t, "e2fsck", "debugfs") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const root = newDirectory();
  for (let i = 0; i < 1500; i++)
    root.entries.set(fromText(`f${String(i).padStart(4, "0")}`), file({ "user.shared": ones(200) }));
  await makeImage(image, 32 * MiB, { root });
  assertClean(image);
  const block = (name: string) => /File ACL: (\d+)/.exec(debugfs(image, `stat /${name}`))![1];
  assert.equal(block("f0000"), block("f1023"));
  assert.notEqual(block("f0000"), block("f1024"));
  assert.equal(block("f1024"), block("f1499"));
  // The kernel gives one of them its own copy when it changes.
  await mounted(image, { type: "ext4", writable: true }, (folder) => {
    run("setfattr", ["-n", "user.shared", "-v", "changed", `${folder}/f0007`]);
    run("rm", [`${folder}/f0008`]);
    assert.match(run("getfattr", ["-n", "user.shared", `${folder}/f0009`]), /="1{200}"/);
  });
  assertClean(image);
});

test("ACLs are what getfacl shows", async (t) => {
  if (lacks(t, "e2fsck", "getfacl") || lacksRoot(t)) return;
  const image = path.join(temporaryFolder(t), "image");
  const root = newDirectory();
  root.entries.set(
    fromText("file"),
    file(
      {
        "system.posix_acl_access": acl([1, 6], [2, 7, 1000], [2, 4, 70_000], [4, 4], [8, 5, 50], [0x10, 7], [0x20, 0]),
      },
      0o670,
    ),
  );
  const folder = newDirectory({ mode: 0o755 });
  setXattr(folder, fromText("system.posix_acl_default"), acl([1, 7], [2, 6, 33], [4, 5], [0x10, 7], [0x20, 1]));
  root.entries.set(fromText("folder"), folder);
  await makeImage(image, 8 * MiB, { root });
  assertClean(image);
  const shown = await mounted(image, { type: "ext4" }, (at) =>
    ["file", "folder"].map((name) =>
      run("getfacl", ["-n", "-c", "-E", "-p", `${at}/${name}`])
        .trim()
        .split("\n"),
    ),
  );
  assert.deepEqual(shown, [
    ["user::rw-", "user:1000:rwx", "user:70000:r--", "group::r--", "group:50:r-x", "mask::rwx", "other::---"],
    [
      "user::rwx",
      "group::r-x",
      "other::r-x",
      "default:user::rwx",
      "default:user:33:rw-",
      "default:group::r-x",
      "default:mask::rwx",
      "default:other::--x",
    ],
  ]);
});

test("an ACL that is none is refused", async (t) => {
  const image = path.join(temporaryFolder(t), "image");
  for (const value of [ones(3), ones(12), acl([3, 7])]) {
    const root = newDirectory();
    root.entries.set(fromText("file"), file({ "system.posix_acl_access": value }));
    await assert.rejects(makeImage(image, 8 * MiB, { root }), {
      code: "source-invalid",
      message: /the ACL of \/file /,
    });
  }
});
