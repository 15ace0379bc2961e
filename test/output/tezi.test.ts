/** Images for the Toradex Easy Installer, installed by a second writing of it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import type { TeziPartition } from "../../src/output/tezi/image-json.js";
import { teziPlacements } from "../../src/output/tezi/placement.js";
import { decodeEnvironment, decodeScript, encodeEnvironment } from "../../src/uboot/index.js";
import { imgbuild, makeRoot } from "../support/cli.js";
import { describeDirectory } from "../support/describe.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { type Environment, SlotDisk } from "../uboot/slot-disk.js";
import { build, files } from "./build.js";
import { install, type Place, placesOf, png, readImageJson, typeOf } from "./tezi-installer.js";

const IDS = ["--set", 'tezi.productIds=["0014", "0015"]'];
/** Sectors of eMMCs that are sold as 4, 8 and 16 GB. */
const EMMC = [7_634_944, 15_269_888, 30_777_344];
const OUT = "out/colibri-imx6";

function description(folder: string) {
  return readImageJson(fs.readFileSync(path.join(folder, OUT, "tezi/image.json"), "utf8"));
}

test("an installation has the image's root, boot files, user data and bootloader", async (t) => {
  const tools = ["sfdisk", "mkfs.fat", "mkfs.ext4", "mcopy", "tar", "xz", "e2fsck", "fsck.fat"];
  if (lacks(t, ...tools) || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const home = path.join(folder, "userdata/home/root");
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, "notes.txt"), "mine");
  fs.chownSync(path.join(home, "notes.txt"), 1000, 100);
  const userdata = ["--userdata", path.join(folder, "userdata")];
  build(folder, root, "--format", "img,partitions,tezi", ...IDS, "--set", "tezi.compression=xz", ...userdata);
  const out = path.join(folder, OUT);

  const [emmc, boot0] = [path.join(folder, "emmc"), path.join(folder, "boot0")];
  for (const [file, size] of [
    [emmc, 300 * 2 ** 20],
    [boot0, 2 ** 22],
  ] as const) {
    fs.writeFileSync(file, "");
    fs.truncateSync(file, size);
  }
  install(path.join(out, "tezi"), { mmcblk0: emmc, mmcblk0boot0: boot0 }, folder);

  const expected = fs.readFileSync(path.join(out, "boot0.img"));
  assert.ok(fs.readFileSync(boot0).subarray(0, expected.length).equals(expected));
  const table = JSON.parse(run("sfdisk", ["--json", emmc])).partitiontable;
  const shape = ({ start, type, bootable }: Record<string, unknown>) => ({ start, type, bootable });
  const image = JSON.parse(run("sfdisk", ["--json", path.join(out, "emmc.img")])).partitiontable;
  // Begin and kind are the image's; UserData takes all that there is here.
  assert.deepEqual(table.partitions.map(shape), image.partitions.map(shape));
  const [bootfs, rootfs, data] = table.partitions as { start: number; size: number }[];
  assert.equal(data!.start + data!.size, 300 * 2048);

  const squashfs = fs.readFileSync(path.join(out, "rootfs.squashfs"));
  const installed = fs.readFileSync(emmc);
  assert.ok(
    installed
      .subarray(rootfs!.start * 512)
      .subarray(0, squashfs.length)
      .equals(squashfs),
  );

  const vfat = path.join(folder, "vfat");
  fs.writeFileSync(vfat, installed.subarray(bootfs!.start * 512, (bootfs!.start + bootfs!.size) * 512));
  run("fsck.fat", ["-n", vfat]);
  const listing = (file: string) => {
    const to = fs.mkdtempSync(path.join(folder, "fat-"));
    run("mcopy", ["-s", "-i", file, "::*", to]);
    return files(to).map((name) => [name, fs.readFileSync(path.join(to, name), "latin1")]);
  };
  assert.deepEqual(listing(vfat), listing(path.join(out, "bootfs.vfat")));
  assert.ok(listing(vfat).some(([name]) => name === "boot.scr"));

  const shown = async (file: string, offset: number, size: number) => {
    let found = new Map<string, string>();
    await mounted(file, { type: "ext4", offset, size }, (mount) => {
      found = describeDirectory(mount);
    });
    found.delete("lost+found");
    return [...found].sort();
  };
  const ours = await shown(path.join(out, "userdata.ext4"), 0, fs.statSync(path.join(out, "userdata.ext4")).size);
  assert.deepEqual(await shown(emmc, data!.start * 512, data!.size * 512), ours);
  assert.ok(ours.some(([name]) => name.endsWith("notes.txt")));
  const verified = imgbuild(["verify", emmc]);
  assert.equal(verified.status, 0, verified.stdout);
});

const SLOTS = `
extends: colibri-imx6
storage: { table: mbr, size: 200MiB }
boot: { initramfs: none }
partitions:
  bootfs: { size: 36MiB }
  rootfs: { size: 16MiB }
  rootfs-b: { filesystem: squashfs, size: 16MiB, role: rootfs }
  userdata: null
  data: { filesystem: ext4, size: rest, role: userdata }
slots: { environmentAt: 1016KiB, confirm: manual }
tezi: { productIds: ["0014"], compression: none }
`;

test("with two slots: an installation boots slot A, whatever an earlier one left, and can be updated", (t) => {
  if (lacks(t, "sfdisk", "mkfs.fat", "mkfs.ext4", "mcopy", "tar") || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  fs.writeFileSync(path.join(folder, "board.yaml"), SLOTS);
  const built = imgbuild(["-p", "board.yaml", root, "--format", "tezi", "-o", OUT], { cwd: folder });
  assert.equal(built.status, 0, built.stderr);
  const emmc = path.join(folder, "emmc");
  fs.writeFileSync(emmc, "");
  fs.truncateSync(emmc, 200 * 2 ** 20);
  const [at, size] = [1016 * 1024, 4096];

  // Boots by what is on the eMMC: its table's id, its boot.scr, its environment.
  const boot = () => {
    const { id, partitions } = JSON.parse(run("sfdisk", ["--json", emmc])).partitiontable;
    const script = run("mcopy", ["-i", `${emmc}@@${partitions[0].start * 512}`, "::boot.scr", "-"]);
    const bytes = fs.readFileSync(emmc).subarray(at);
    const blocks = [0, size].map((copy): Environment | undefined => {
      const found = decodeEnvironment(bytes.subarray(copy, copy + size), "single");
      return found && Object.fromEntries(found.variables);
    });
    const DISK = id.slice(2).padStart(8, "0");
    const { text } = decodeScript(Buffer.from(script, "latin1"));
    return { id: `${DISK}-02`, blocks, ...new SlotDisk(t, text, ...blocks).boot({ DISK }) };
  };
  const installed = () => {
    install(path.join(folder, OUT, "tezi"), { mmcblk0: emmc }, folder);
    return boot();
  };
  const first = installed();
  assert.equal(first.root, "2");
  // By this the device knows its environment, and makes one at the first update: test/overlay/slots.test.ts.
  assert.ok(first.log.includes(` imgbuild.slots=${first.id} `), first.log);
  const variables = new Map(
    Object.entries({ slots_id: first.id, root_part: "3", root_old: "2", upgrade_available: "0" }).map(
      ([name, value]) => [fromText(name), fromText(value)],
    ),
  );
  const file = fs.openSync(emmc, "r+");
  const updated = encodeEnvironment(variables, { size, flag: undefined, padding: 0 });
  for (const copy of [0, size]) fs.writeSync(file, updated, 0, size, at + copy);
  fs.closeSync(file);
  assert.equal(boot().root, "3");

  const second = installed();
  assert.equal(second.blocks[0]?.root_part, "3", "the installer leaves it there");
  assert.equal(second.root, "2");
  assert.notEqual(second.id, first.id);
});

test("with two slots, an environment where the installer puts a partition is refused", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  // Room that the profile leaves, and the installer does not: it fills up whole MiB.
  fs.writeFileSync(path.join(folder, "board.yaml"), SLOTS);
  const settings = [
    "partitions.bootfs.size=37695488",
    "partitions.rootfs.offset=40MiB",
    "slots.environmentAt=41889792",
  ];
  const { status, stderr } = imgbuild(
    ["-p", "board.yaml", root, "--format", "tezi", ...settings.flatMap((setting) => ["--set", setting])],
    { cwd: folder },
  );
  assert.notEqual(status, 0);
  assert.match(stderr, /puts partition 1 at 4194304 to \d+, where the slots' environment begins at 41889792/);
});

test("on eMMCs of 4, 8 and 16 GB every partition has its place, and UserData the rest", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  // As the profile is, but for what makes tests slow.
  const result = imgbuild(
    [
      "-p",
      "colibri-imx6",
      root,
      "--format",
      "tezi",
      ...IDS,
      "--set",
      "boot.initramfs=none",
      "--set",
      "storage.table=mbr",
    ],
    { cwd: folder },
  );
  assert.equal(result.status, 0, result.stderr);
  const [emmc] = description(folder).blockdevs;
  for (const sectors of EMMC) {
    const places = placesOf(emmc!, sectors);
    assert.deepEqual(
      places.map(({ start, size }) => [start, size]),
      [
        [8192, 131_072],
        [139_264, 1_048_576],
        [1_187_840, sectors - 1_187_840],
      ],
    );
    assert.deepEqual(
      places.map(({ partition }) => typeOf(partition)),
      ["0c", "83", "83"],
    );
  }
  assert.throws(() => placesOf(emmc!, 600 * 2048), /Not enough disk space/);
});

test("what is worked out here is what the installer works out", () => {
  const shapes: readonly (readonly [nominal: number, maximised: boolean, offset?: number])[][] = [
    [
      [64, false],
      [512, false],
      [256, true],
    ],
    [
      [33, false],
      [7, false],
      [1, true],
      [5, false],
    ],
    [
      [64, true],
      [3, true],
      [100, false, 2 ** 20],
    ],
    [
      [4, false],
      [4, false],
      [4, false],
      [4, false],
    ],
    [
      [10, true],
      [10, true],
      [10, true],
    ],
  ];
  let compared = 0;
  for (const table_type of ["dos", "gpt"] as const) {
    for (const shape of shapes) {
      const partitions = shape.map(
        ([partition_size_nominal, want_maximised, offset_in_sectors]): TeziPartition => ({
          ...{ partition_size_nominal, want_maximised, offset_in_sectors, partition_type: "83" },
        }),
      );
      for (const sectors of [...EMMC, 1_000_003]) {
        let theirs: Place[];
        try {
          theirs = placesOf({ name: "emmc", table_type, partitions: partitions as object[] }, sectors);
        } catch {
          continue;
        }
        const ours = teziPlacements(partitions, table_type === "gpt" ? "gpt" : "mbr", sectors);
        assert.deepEqual(
          ours,
          theirs.map(({ start, size }) => ({ start, sectors: size })),
        );
        compared++;
      }
    }
  }
  // Of 2 tables, 5 shapes and 4 media; the smallest medium has no room for some.
  assert.ok(compared >= 30, `${compared} were compared`);
});

const SIDE_FILES: Readonly<Record<string, string | Uint8Array>> = {
  ".sh": "#!/bin/sh\ntrue\n",
  ".png": png(40, 40),
  // An archive without members.
  ".tar": new Uint8Array(10_240),
};

test("everything that a profile says of it is in image.json, and its files beside it", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const named = [
    "u-boot-env.txt",
    "prepare.sh",
    "wrapup.sh",
    "error.sh",
    "icon.png",
    "slides.tar",
    "la.html",
    "notes.txt",
  ];
  for (const name of named) fs.writeFileSync(path.join(folder, name), SIDE_FILES[path.extname(name)] ?? name);
  fs.writeFileSync(path.join(folder, "u-boot-env.txt"), "bootdelay=1\n");
  const profile = `
extends: colibri-imx6
description: A board
storage: { size: 200MiB }
boot: { initramfs: none }
partitions:
  bootfs: { size: fit }
  rootfs: { size: fit }
  userdata: { size: 48MiB, journalSize: 4MiB }
  spare: { filesystem: raw, size: rest, type: linux }
outputs: [tezi, tezi.tar]
tezi:
  productIds: ["0014"]
  name: Our product
  version: 1.2.3
  releaseDate: "2026-01-31"
  autoinstall: true
  device: emmc
  compression: none
  environment: u-boot-env.txt
  prepareScript: prepare.sh
  wrapupScript: wrapup.sh
  errorScript: error.sh
  icon: icon.png
  marketing: slides.tar
  license: la.html
  licenseTitle: The licence
  releaseNotes: notes.txt
`;
  fs.writeFileSync(path.join(folder, "board.yaml"), profile);
  const result = imgbuild(["-p", "board.yaml", root, "--json", "-o", OUT], { cwd: folder });
  assert.equal(result.status, 0, result.stderr);
  const info = description(folder) as unknown as Record<string, unknown>;
  const { blockdevs, nominal_size, ...rest } = info;
  assert.deepEqual(rest, {
    // For error_script, and for the eMMC's name.
    config_format: 5,
    autoinstall: true,
    name: "Our product",
    description: "A board",
    version: "1.2.3",
    release_date: "2026-01-31",
    u_boot_env: "u-boot-env.txt",
    prepare_script: "prepare.sh",
    wrapup_script: "wrapup.sh",
    error_script: "error.sh",
    icon: "icon.png",
    marketing: "slides.tar",
    license: "la.html",
    license_title: "The licence",
    releasenotes: "notes.txt",
    supported_product_ids: ["0014"],
  });
  const [emmc, boot0] = blockdevs as ReturnType<typeof readImageJson>["blockdevs"];
  // Without a bootloader in the build the module keeps its own.
  assert.equal(boot0, undefined);
  assert.equal(emmc!.name, "emmc");
  assert.equal(emmc!.partitions!.length, 4);
  // Whatever BootFS needs here, no FAT32 is smaller.
  assert.equal(emmc!.partitions![0]!.partition_size_nominal, 33);
  assert.match(emmc!.partitions![2]!.content!.mkfs_options!, /-J size=4$/);
  assert.equal(emmc!.partitions![3]!.content, undefined);
  assert.equal(emmc!.partitions![3]!.partition_type, "83");
  assert.equal(
    nominal_size,
    emmc!.partitions!.reduce((sum, { partition_size_nominal = 0 }) => sum + partition_size_nominal, 0),
  );

  const out = path.join(folder, OUT);
  for (const name of named) {
    assert.deepEqual(fs.readFileSync(path.join(out, "tezi", name)), fs.readFileSync(path.join(folder, name)), name);
  }
  const list = JSON.parse(fs.readFileSync(path.join(out, "image_list.json"), "utf8"));
  assert.deepEqual(list, { config_format: 1, images: ["tezi/image.json"] });
  // The archive has the same, in a folder of its own; the manifest lists all of it.
  run("tar", ["-xf", path.join(out, "board_tezi.tar"), "-C", folder]);
  assert.deepEqual(files(path.join(folder, "board_tezi")), files(path.join(out, "tezi")));
  for (const name of files(path.join(out, "tezi"))) {
    const [a, b] = [path.join(folder, "board_tezi", name), path.join(out, "tezi", name)];
    assert.ok(fs.readFileSync(a).equals(fs.readFileSync(b)), name);
  }
  const listed = JSON.parse(result.stdout)
    .artifacts.map(({ file }: { file: string }) => file)
    .sort();
  assert.deepEqual(
    listed,
    files(out)
      .filter((name) => name !== "manifest.json")
      .sort(),
  );
});

test("the next build without it removes it; the same build makes the same bytes", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const first = build(folder, root, "--format", "tezi.tar", ...IDS);
  assert.deepEqual(build(folder, root, "--format", "tezi.tar", ...IDS, "-j", "1").artifacts, first.artifacts);
  build(folder, root, "--format", "boot0");
  assert.deepEqual(files(path.join(folder, OUT)), ["boot0.img", "manifest.json"]);
  assert.equal(fs.existsSync(path.join(folder, OUT, "tezi")), false);
});
