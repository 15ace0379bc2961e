/**
 * UserData grows to the end of a disk that is larger than the image: a loop device with partitions as the kernel has them,
 * the root mounted from one of them, real sfdisk and partx. Only resize2fs is made up, because a container may not grow a
 * mounted file system; test/boot/grow.test.ts has the real one.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import type { Device as Disk } from "../../src/bytes/device.js";
import { FileDevice } from "../../src/bytes/file-device.js";
import { writeGpt, writeMbr } from "../../src/partition/index.js";
import { lookup, type Tree } from "../../src/tree/tree.js";
import { DISK, guid, MiB, readBytes, readTable } from "../partition/disk.js";
import { lacks, lacksRoot, run } from "../support/tools.js";
import { CUT, type Device, type DeviceOptions, device, put, shim, TOOLS } from "./device.js";

const ROOT = { start: 4 * MiB, size: 16 * MiB };
const USERDATA = { start: 24 * MiB, size: 8 * MiB };
const IMAGE = 33 * MiB;
const MEDIUM = 64 * MiB;

interface Table {
  readonly number: number;
  readonly extended?: number;
  readonly kind: "mbr" | "gpt";
  write(disk: Disk): Promise<void>;
}

const gpt = (more: Partial<Parameters<typeof writeGpt>[1]> = {}): Table => ({
  number: 3,
  kind: "gpt",
  write: (disk) =>
    writeGpt(disk, {
      diskGuid: DISK,
      partitions: [
        { number: 1, start: 2 * MiB, size: MiB, type: "basic-data", guid: guid(1), name: "boot", active: true },
        { number: 2, ...ROOT, type: "linux", guid: guid(2), name: "rootfs" },
        { number: 3, ...USERDATA, type: "linux", guid: guid(3), name: "userdata", attributes: ["required"] },
      ],
      ...more,
    }),
});

const TABLES: Readonly<Record<string, Table>> = {
  "a GPT": gpt(),
  "a GPT with room for 56, further back": gpt({ entryCount: 56, entriesAt: 320 * 1024 }),
  "an MBR": {
    number: 3,
    kind: "mbr",
    write: (disk) =>
      writeMbr(disk, {
        signature: 0xab,
        partitions: [
          { number: 1, start: 2 * MiB, size: MiB, type: "fat32-lba", active: true },
          { number: 2, ...ROOT, type: "linux" },
          { number: 3, ...USERDATA, type: "linux" },
        ],
      }),
  },
  "an MBR where UserData is logical": {
    number: 5,
    kind: "mbr",
    extended: 4,
    write: (disk) =>
      writeMbr(disk, {
        signature: 0xab,
        partitions: [
          { number: 1, start: 2 * MiB, size: MiB, type: "fat32-lba", active: true },
          { number: 2, ...ROOT, type: "linux" },
          { number: 5, ...USERDATA, type: "linux", recordAt: 23 * MiB },
        ],
      }),
  },
};

const CALL = "/usr/libexec";

/** A program that calls the host's, and after which a power cut may come. */
const calls = (name: string) => shim(name, `${CALL}/${name}`);

/** Kills sfdisk at its write number $WRITE, and has the power fail then. */
const TORN = `#!/bin/busybox sh
[ -e /dev/write ] || exec ${CALL}/sfdisk "$@"
read -r write </dev/write
${CALL}/strace -qq -o /dev/null -e trace=write -e inject=write:signal=KILL:when=$write ${CALL}/sfdisk "$@" && exit
echo cut >/dev/power
while :; do /bin/busybox sleep 9; done
`;

const RESIZE = '#!/bin/busybox sh\necho "resize2fs $1"\n';

interface GrowDevice {
  readonly image: string;
  /** Boots; with the power failing before a program, or at a write of sfdisk's, where it is to. */
  boot(commands: string, cut?: { program?: number; write?: number }): string;
}

async function growDevice(t: TestContext, table: Table, more: Partial<DeviceOptions> = {}): Promise<GrowDevice> {
  const { root, ...rest } = more;
  const made: Device = await device(t, {
    shell: "dash",
    userdataPartition: table.number,
    growth: { extended: table.extended, reserved: [] },
    programs: ["sfdisk", "partx", "strace"],
    root: (tree) => {
      for (const name of ["partx", "sync"])
        put(tree, `usr/sbin/${name}`, name === "sync" ? shim(name) : calls(name), 0o755);
      put(tree, "usr/sbin/sfdisk", TORN, 0o755);
      put(tree, "usr/sbin/resize2fs", RESIZE, 0o755);
      root?.(tree);
    },
    ...rest,
  });
  const folder = path.dirname(made.userdata);
  const image = path.join(folder, "disk.img");
  const disk = new FileDevice(image, IMAGE);
  try {
    await disk.write(ROOT.start, fs.readFileSync(made.squashfs));
    await disk.write(USERDATA.start, fs.readFileSync(made.userdata));
    await table.write(disk);
  } finally {
    disk.close();
  }
  assert.ok(fs.statSync(made.squashfs).size < ROOT.size);
  fs.truncateSync(image, MEDIUM);

  const start = `unshare --mount --pid --fork sh -c 'exec chroot . ${made.init} "$COMMANDS"'`;
  const inside = (cut: boolean) => `
    set -e
    mount -t squashfs nodes/\${disk}p2 root
    cd root
    mount --rbind /sys sys
    mount -t tmpfs tmpfs dev
    mknod dev/null c 1 3
    cp -a ../nodes/* dev/
    [ ! "$WRITE" ] || echo "$WRITE" >dev/write
    [ ! "$PROGRAM" ] || echo "$PROGRAM" >dev/cut
    ${
      cut
        ? `mkfifo dev/power
           ${start} &
           read -r power <dev/power
           inside=$(cat /proc/$!/task/$!/children 2>/dev/null) || :
           [ "$power" != cut ] || { ${CUT} /proc/\${inside% }/root/userdata; kill -9 $inside; }
           wait
           echo "$power"`
        : start
    }`;
  // Partitions are taken back when nothing is mounted any more, and so outside of the namespace.
  const outside = `
    set -e
    node=$(losetup --find --show ${image})
    export disk=\${node#/dev/}
    trap 'partx --delete $node; losetup --detach $node; rm -rf nodes' EXIT
    partx --add $node
    mkdir nodes
    cp -a $node nodes/
    for entry in /sys/block/$disk/$disk*/dev; do
      IFS=: read -r major minor <$entry
      name=\${entry%/dev}
      mknod nodes/\${name##*/} b $major $minor
    done
    unshare --mount --propagation=private sh -c "$INSIDE"
    sync`;
  return {
    image,
    boot: (commands, { program, write } = {}) =>
      run("sh", ["-c", outside], {
        cwd: folder,
        env: {
          COMMANDS: commands,
          INSIDE: inside(program !== undefined || write !== undefined),
          PROGRAM: `${program ?? ""}`,
          WRITE: `${write ?? ""}`,
        },
      }),
  };
}

const skipped = (t: TestContext) =>
  lacks(t, ...TOOLS, "sfdisk", "sgdisk", "partx", "strace", "perl", "e2fsck") || lacksRoot(t);

const SEE =
  "cat /userdata/grown /run/imgbuild/not-grown 2>/dev/null; cat /run/imgbuild/grow.log 2>/dev/null | grep resize";

/** Every tool agrees on the table; nothing but UserData's size is different, and UserData is whole. */
async function checkGrown(image: string, table: Table): Promise<void> {
  run("sfdisk", ["--verify", image]);
  if (table.kind === "gpt") assert.match(run("sgdisk", ["-v", image]), /^No problems found/m);
  const read = await readTable(image);
  assert.deepEqual(read.problems, []);
  const userdata = read.partitions.find(({ number }) => number === table.number)!;
  assert.equal(userdata.start, USERDATA.start);
  const unused = MEDIUM - userdata.start - userdata.size;
  assert.ok(unused >= 0 && unused < MiB, `${unused}`);
  assert.deepEqual(
    read.partitions
      .filter((partition) => partition !== userdata)
      .map(({ number, start, size }) => [number, start, size]),
    [
      [1, 2 * MiB, MiB],
      [2, ROOT.start, ROOT.size],
    ],
  );
  run("e2fsck", ["-fn", `${image}?offset=${USERDATA.start}`]);
}

/** What stays of the table's entries: all but the lengths. */
const identities = (image: string) =>
  run("sfdisk", ["--dump", image])
    .split("\n")
    .filter((line) => / : start=/.test(line))
    .map((line) => line.replace(/size= *\d+/, ""));

for (const [name, table] of Object.entries(TABLES)) {
  test(`at the first boot UserData grows to the end of the medium, once: ${name}`, async (t) => {
    if (skipped(t)) return;
    const { image, boot } = await growDevice(t, table);
    const before = identities(image);
    const root = readBytes(image, ROOT.start, ROOT.size);
    const first = boot(
      `${SEE}; echo x >/home/root/x; cat /sys/class/block/*p${table.number}/size; overlayctl status | head -2`,
    );
    const [record, call] = first.split("\n");
    const [medium, partition] = record!.split(" ").map(Number);
    assert.equal(medium, MEDIUM / 512);
    assert.match(call!, /^resize2fs \/dev\/loop\d+p\d$/);
    await checkGrown(image, table);
    assert.equal(
      (await readTable(image)).partitions.find(({ number }) => number === table.number)!.size,
      partition! * 512,
    );
    assert.deepEqual(identities(image), before);
    assert.ok(readBytes(image, ROOT.start, ROOT.size).equals(root));
    // grown is all that remembers it; nothing is called.
    assert.equal(boot(`${SEE}; cat /home/root/x`), `${record}\nx\n`);
  });
}

for (const name of ["a GPT", "an MBR where UserData is logical"]) {
  const table = TABLES[name]!;
  test(`the power fails while UserData grows; the next boot completes it: ${name}`, async (t) => {
    if (skipped(t)) return;
    const { image, boot } = await growDevice(t, table);
    const saved = `${image}.saved`;
    fs.copyFileSync(image, saved);
    let cuts = 0;
    for (const kind of ["program", "write"] as const) {
      for (let at = 1; ; at++) {
        fs.copyFileSync(saved, image);
        fs.truncateSync(image, MEDIUM);
        const end = boot("echo done >/dev/power", { [kind]: at }).trimEnd();
        if (end.endsWith("done")) break;
        assert.ok(end.endsWith("cut"), end);
        cuts++;
        const shown = boot(SEE);
        assert.match(shown, /^131072 \d+\n(resize2fs \/dev\/loop\d+p\d\n)?$/, `cut at ${kind} ${at}`);
        await checkGrown(image, table);
      }
    }
    assert.ok(cuts >= 8, `${cuts}`);
  });
}

/** Takes a program out of the root. */
const without = (name: string) => (tree: Tree) => {
  const folder = lookup(tree, fromText("usr/sbin"));
  assert.ok(folder?.type === "directory" && folder.entries.delete(fromText(name)));
};

for (const missing of ["sfdisk", "resize2fs"]) {
  test(`without ${missing} it stays as it is, and says why`, async (t) => {
    if (skipped(t)) return;
    const { image, boot } = await growDevice(t, TABLES["a GPT"]!, { root: without(missing) });
    const before = readBytes(image, 0, 2 * MiB);
    const why = `the root has no ${missing}`;
    for (const _ of ["first", "second"]) {
      assert.equal(boot(`${SEE}; overlayctl status | sed -n 2p`), `${why}\nUserData does not fill its disk: ${why}\n`);
    }
    assert.ok(boot("overlayctl status --json").includes(`"notGrown":["${why}"]`));
    assert.ok(readBytes(image, 0, 2 * MiB).equals(before));
  });
}

test("without a program that tells the kernel, the file system grows at the next boot", async (t) => {
  if (skipped(t)) return;
  const { image, boot } = await growDevice(t, TABLES["a GPT"]!, {
    root: (tree) => {
      without("partx")(tree);
      put(tree, "usr/sbin/partprobe", "#!/bin/sh\nexit 1\n", 0o755);
    },
  });
  assert.equal(boot(SEE), "the kernel takes the partition's new size at the next boot\n");
  await checkGrown(image, TABLES["a GPT"]!);
  assert.match(boot(SEE), /^131072 \d+\nresize2fs /);
});

test("a UserData without a free block grows at once, and so does one that an import which was cut off has filled", async (t) => {
  if (skipped(t)) return;
  for (const [fill, left] of [
    // What the shell cannot write, it says.
    ["{ yes >big; sync; yes >small; sync; } 2>/dev/null; echo x >more || echo full", "big\ngrown\n"],
    [
      "rm grown; mkdir import+new; cd import+new; i=0; while true >$i; do i=$((i + 1)); done 2>/dev/null; mkdir x || echo full",
      "grown\n",
    ],
  ] as const) {
    const { image, boot } = await growDevice(t, TABLES["a GPT"]!);
    fs.truncateSync(image, IMAGE);
    assert.match(boot(`cd /userdata; ${fill}; sync`), /full\n$/);
    fs.truncateSync(image, MEDIUM);
    const shown = boot(`cd /userdata; ls -d big grown import+new 2>/dev/null; ${SEE}`);
    assert.ok(shown.startsWith(left), shown);
    assert.match(shown.slice(left.length), /^131072 \d+\nresize2fs /);
    assert.equal(boot(SEE), shown.slice(left.length, shown.indexOf("resize2fs")));
    await checkGrown(image, TABLES["a GPT"]!);
  }
});

const FAILING = "#!/bin/sh\necho called >>/userdata/called\nexit 1\n";

for (const program of ["sfdisk", "resize2fs"]) {
  test(`a ${program} that fails is called once, and again when the sizes are others`, async (t) => {
    if (skipped(t)) return;
    const { image, boot } = await growDevice(t, TABLES["an MBR"]!, {
      root: (tree) => put(tree, `usr/sbin/${program}`, FAILING, 0o755),
    });
    const see = "cat /userdata/called; cat /run/imgbuild/not-grown";
    const first = boot(see);
    assert.match(
      first,
      new RegExp(`^imgbuild: UserData was not grown: ${program} could not .*; see /run/imgbuild/grow.log\n`),
    );
    assert.match(first, new RegExp(`\ncalled\n${program} could not .*\n$`));
    assert.equal(boot(see), first.slice(first.indexOf("\n") + 1));
    fs.truncateSync(image, 2 * MEDIUM);
    assert.match(boot(see), /\ncalled\ncalled\n/);
  });
}

test("nothing is grown over what lies behind: another partition, or what the image reserves", async (t) => {
  if (skipped(t)) return;
  const behind = gpt({
    partitions: [
      { number: 2, ...ROOT, type: "linux", guid: guid(2) },
      { number: 3, ...USERDATA, type: "linux", guid: guid(3) },
      { number: 1, start: 32 * MiB, size: 512 * 1024, type: "linux", guid: guid(1) },
    ],
  });
  const reserved: Partial<DeviceOptions> = { growth: { reserved: [MiB, 48 * MiB] } };
  for (const [table, more] of [
    [behind, {}],
    [TABLES["a GPT"]!, reserved],
    [TABLES["an MBR"]!, reserved],
  ] as const) {
    const { image, boot } = await growDevice(t, table, more);
    const before = readBytes(image, 0, 2 * MiB);
    // The file system fills its partition, as it does already.
    assert.match(boot(SEE), /^131072 16384\nresize2fs /);
    assert.equal(boot(SEE), "131072 16384\n");
    assert.ok(readBytes(image, 0, 2 * MiB).equals(before));
  }
});

test("without the key in the profile nothing is looked at", async (t) => {
  if (skipped(t)) return;
  const { image, boot } = await growDevice(t, TABLES["a GPT"]!, { growth: undefined });
  const before = readBytes(image, 0, 2 * MiB);
  assert.equal(boot(`${SEE}; ls /userdata`), "lost+found\noverlay\n");
  assert.ok(readBytes(image, 0, 2 * MiB).equals(before));
});
