/** What the Toradex Easy Installer cannot do, and what it takes that others make. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { boot0Size } from "../../src/image/boot0.js";
import type { Prepared } from "../../src/image/prepare.js";
import { checkPlaces } from "../../src/output/tezi/check-places.js";
import { configFormat } from "../../src/output/tezi/config-format.js";
import { findImages } from "../../src/output/tezi/image-list.js";
import { tezi } from "../../src/output/tezi/tezi.js";
import { loadPlan } from "../../src/profile/load.js";
import type { Content } from "../../src/tree/node.js";
import { imgbuild, makeRoot, SMALL } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";
import { placesOf, png, readImageJson } from "./tezi-installer.js";

const IDS = ["--set", 'tezi.productIds=["0014", "0015"]'];
/** Sectors of eMMCs that are sold as 4, 8 and 16 GB. */
const EMMC = [7_634_944, 15_269_888, 30_777_344];

/** What a file that is in order gets. */
const TAKEN = /^$/;

test("what the installer cannot do is refused, with the key to change", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const refused = (settings: readonly string[], message: RegExp) => {
    const set = settings.flatMap((setting) => ["--set", setting]);
    const result = imgbuild([...SMALL, root, "--format", "tezi", "--dry-run", ...set], { cwd: folder });
    assert.notEqual(result.status, 0, settings.join(" "));
    assert.match(result.stderr, message);
  };
  refused(["tezi=null"], /tezi\.productIds/);
  refused(["tezi.productIds=[14]"], /productIds/);
  refused(['tezi.productIds=["00140001"]'], /four digits/);
  const ids = 'tezi.productIds=["0014"]';
  refused([ids, "partitions.userdata.label=sixteen-letters-"], /labels of more than 15/);
  refused([ids, "partitions.bootfs.size=16MiB"], /33MiB/);
  refused([ids, "partitions.bootfs.fatType=16"], /FAT16/);
  refused([ids, "partitions.userdata.features=-dir_index"], /features/);
  refused([ids, "partitions.bootfs.offset=1MiB"], /4 MiB/);
  refused([ids, "tezi.prepareScript=."], /tezi\.prepareScript: there is no file/);
  refused([ids, "partitions.rootfs.number=3", "partitions.userdata.number=2"], /by their numbers/);
  refused([ids, "storage.table=gpt", "partitions.rootfs.partlabel=root"], /partlabel/);
  const more = ["a", "b"].flatMap((name) => [`partitions.${name}.filesystem=raw`, `partitions.${name}.size=4MiB`]);
  refused([ids, "partitions.userdata.size=64MiB", ...more], /4 partitions at most/);
  refused([ids, "tezi.icon=none.png"], /no file .*none\.png/);
  fs.writeFileSync(path.join(folder, "it's.png"), "");
  refused([ids, `tezi.icon=${path.join(folder, "it's.png")}`], /shell commands/);
  refused([ids, "bootloader.files=[{file: SPL.gz, sector: 2}]"], /decompress SPL\.gz/);
  refused([ids, 'tezi.version="1.2\\n3"'], /tezi\.version is "1\.2\\n3", not one line/);
  refused(
    [ids, "tezi.bootloader={no.bin: {SPL: ['0014']}}"],
    /no\.bin for a file that bootloader\.files does not have/,
  );
  refused([ids, "tezi.bootloader={SPL: {SPL-a: ['0015']}}"], /does not have 0014 once/);
  refused([ids, "tezi.bootloader={SPL: {SPL-a: ['0014'], SPL-b: ['0014']}}"], /does not have 0014 once/);
  refused([ids, "tezi.bootloader={SPL: {u-boot.img: ['0014']}}"], /u-boot\.img is in tezi\.bootloader twice/);
  refused([ids, "tezi.bootloader={SPL: {SPL.xz: ['0014']}}"], /decompress SPL\.xz/);
});

test("a file that the installer could not use is refused before the build starts, with its key", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const refused = (key: string, content: string | Uint8Array, message: RegExp) => {
    const file = path.join(folder, "side");
    fs.writeFileSync(file, content);
    const result = imgbuild([...SMALL, root, "--format", "tezi", "--dry-run", ...IDS, "--set", `tezi.${key}=${file}`]);
    assert.equal(result.status, message === TAKEN ? 0 : 1, result.stderr);
    if (message !== TAKEN) assert.match(result.stderr, message);
  };
  refused("environment", "# of ours\nbootdelay=1\n", TAKEN);
  refused("environment", "bootdelay=1\nnonsense\n", /side:2: there is no = in "nonsense"/);
  refused("environment", Buffer.from([0x61, 0x3d, 0]), /tezi\.environment: .*side is no text/);
  for (const key of ["prepareScript", "wrapupScript", "errorScript"]) {
    refused(key, "#!/bin/sh\nexit 0\n", TAKEN);
    refused(key, "exit 0\n", new RegExp(`tezi\\.${key}: .*side does not begin with #!`));
    refused(key, "#!/bin/sh\r\nexit 0\r\n", /CR LF/);
  }
  refused("icon", png(40, 40), TAKEN);
  refused("icon", png(41, 40), /tezi\.icon: .*side has 41 by 40 pixels/);
  refused("icon", "GIF89a", /tezi\.icon: .*side is no PNG/);
  const tar = spawnSync("tar", ["-cC", folder, "rootfs/sbin"]).stdout;
  refused("marketing", tar, TAKEN);
  refused("marketing", gzipSync(tar), TAKEN);
  refused("marketing", png(40, 40), /tezi\.marketing: .*side is no tar/);
  refused("license", "<p>Ours</p>", TAKEN);
  refused("license", "", /tezi\.license: .*side is empty/);
  refused("releaseNotes", Buffer.from([0xff, 0xfe]), /tezi\.releaseNotes: .*side is no text in UTF-8/);
});

test("where modules differ, each gets its own file of the bootloader", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const loader = path.join(folder, "loader");
  fs.mkdirSync(loader);
  const put = (...names: string[]) => {
    for (const name of names) fs.writeFileSync(path.join(loader, name), name.repeat(1000));
  };
  const ids =
    '--set=tezi.bootloader={"tiboot3.bin": {"tiboot3-gp.bin": ["0069", "0071"], "tiboot3-hs-fs.bin": ["0072"]}}';
  const build = (...more: string[]) => {
    const board = ["--set", 'tezi.productIds=["0069", "0071", "0072"]', ids, "--set", "boot.initramfs=none"];
    const size = ["--set", "storage.size=200MiB", "--set", "partitions.rootfs.size=16MiB"];
    const from = ["--bootloader", loader, "--boot-files", path.join(folder, "boot"), "-o", path.join(folder, "out")];
    return imgbuild(["-p", "verdin-am62", root, "--format", "tezi,boot0", ...board, ...size, ...from, ...more]);
  };
  fs.mkdirSync(path.join(folder, "boot"));
  const kernel = Buffer.alloc(64);
  kernel.write("ARM\x64", 56);
  fs.writeFileSync(path.join(folder, "boot/Image.gz"), gzipSync(kernel));
  fs.writeFileSync(path.join(folder, "boot/k3-am625-verdin-nonwifi-dev.dtb"), "a device tree");
  put("tiboot3.bin", "tispl.bin", "u-boot.img", "tiboot3-gp.bin");
  for (const more of [[], ["--dry-run"]]) {
    const { status, stderr } = build(...more);
    assert.equal(status, 1);
    assert.match(stderr, /the bootloader is incomplete: some modules need tiboot3-hs-fs\.bin/);
    assert.equal(fs.existsSync(path.join(folder, "out")), false);
  }
  put("tiboot3-hs-fs.bin");
  const { status, stderr } = build();
  assert.equal(status, 0, stderr);
  const out = path.join(folder, "out/tezi");
  // What boot0.img has, but for the first file.
  const boot0 = fs.readFileSync(path.join(folder, "out/boot0.img"));
  for (const [product, own] of [
    ["0071", "tiboot3-gp.bin"],
    ["0072", "tiboot3-hs-fs.bin"],
  ] as const) {
    const expected = Buffer.from(boot0);
    expected.fill(0, 0, "tiboot3.bin".length * 1000).write(own.repeat(1000));
    assert.deepEqual(bootPartition(out, product, boot0.length), expected, product);
  }
  assert.equal(fs.existsSync(path.join(out, "tiboot3.bin")), false);
});

/** What is thrown for a Verdin AM62 whose modules get files of these lengths, as the image and as the installer have them. */
function withFiles(settings: readonly string[], lengths: Readonly<Record<string, number>>): void {
  const ids = 'tezi.productIds=["0069", "0072"]';
  const plan = loadPlan("verdin-am62", { folder: "/", set: [ids, ...settings] });
  const files = Object.entries(lengths).map(([name, size]) => [name, { size } as Content] as const);
  const prepared = { bootloader: new Map(files) } as unknown as Prepared;
  boot0Size(plan, prepared);
  tezi.checkInputs!(plan, prepared);
  checkPlaces(plan, prepared, [{ partition_size_nominal: 64, want_maximised: false, partition_type: "83" }]);
}

const VARIANTS: readonly (readonly [string, string])[] = [
  ["tiboot3.bin", '{"tiboot3.bin": {"gp.bin": ["0069"], "hs.bin": ["0072"]}}'],
  ["u-boot.img", '{"u-boot.img": {"gp.bin": ["0069"], "hs.bin": ["0072"]}}'],
];

test("a file that only some modules get is held to what the others are, in boot0", () => {
  const lengths = { "tiboot3.bin": 0x8000, "tispl.bin": 0x8000, "u-boot.img": 0x8000 };
  const size = 8 * 2 ** 20;
  const places = { "tiboot3.bin": [0, 0x80000], "u-boot.img": [0x280000, size - 0x2200] } as const;
  for (const [file, variants] of VARIANTS) {
    const [start, end] = places[file as keyof typeof places];
    const settings = [`tezi.bootloader=${variants}`, `bootloader.size=${size}`];
    withFiles(settings, { ...lengths, "gp.bin": 512, "hs.bin": end - start });
    const tooLong = { ...lengths, "gp.bin": 512, "hs.bin": end - start + 1 };
    assert.throws(() => withFiles(settings, tooLong), {
      code: file === "u-boot.img" ? "does-not-fit" : "layout-conflict",
      message: /hs\.bin ends at/,
    });
  }
});

test("nor may it reach a partition, a reserved area or another file in the user area", () => {
  const lengths = { "tiboot3.bin": 0x8000, "tispl.bin": 0x8000, "u-boot.img": 0x8000, "gp.bin": 512 };
  const files =
    "bootloader={area: user, files: [{file: tiboot3.bin, sector: 2}, {file: tispl.bin, sector: 0x400}, {file: u-boot.img, sector: 0x1400}]}";
  for (const [key, variants, end, other] of [
    ["tiboot3.bin", VARIANTS[0]![1], 0x80000 - 1024, "bootloader file tispl\\.bin"],
    ["u-boot.img", VARIANTS[1]![1], 0x400000 - 0x280000, "partition 1"],
    ["u-boot.img", VARIANTS[1]![1], 0x300000 - 0x280000, "reserved area ours"],
  ] as const) {
    const reserved = other.startsWith("reserved") ? ["storage.reserved=[{name: ours, start: 3MiB, size: 512}]"] : [];
    for (const medium of ["storage.size=1GiB", "storage.size=null"]) {
      const settings = [files, `tezi.bootloader=${variants}`, medium, "partitions.userdata.size=64MiB", ...reserved];
      withFiles(settings, { ...lengths, "hs.bin": end });
      assert.throws(
        () => withFiles(settings, { ...lengths, "hs.bin": end + 1 }),
        { code: "layout-conflict", message: new RegExp(`bootloader file hs\\.bin at .* where ${other} begins`) },
        `${key}, ${medium}`,
      );
    }
  }
});

test("config_format is what the newest feature takes, and no more", () => {
  const image = {
    autoinstall: false,
    name: "",
    description: "",
    supported_product_ids: ["0014"],
    nominal_size: 0,
  };
  const partition = { partition_size_nominal: 64, want_maximised: false, partition_type: "83" };
  const device = { name: "mmcblk0", table_type: "dos", partitions: [partition] } as const;
  const format = (changed: object, architecture = "arm", more: object = {}) =>
    configFormat({ ...image, blockdevs: [{ ...device, ...more }], ...changed }, architecture);
  const archive = (filename: string) => ({
    partitions: [{ ...partition, content: { filesystem_type: "ext4", filename } }],
  });
  const active = { partitions: [{ ...partition, active: true }] };
  // The table in the installer's documentation, and the tags of qt-tezi that have the commit.
  for (const [wanted, found] of [
    [2, format({})],
    [2, format({}, "arm64")],
    [2, format({ u_boot_env: "env" })],
    [4, format({ u_boot_env: "env" }, "arm64")],
    [2, format({}, "arm", archive("a.tar.xz"))],
    [3, format({}, "arm", archive("a.tar.zst"))],
    [3, format({ error_script: "error.sh" })],
    [2, format({}, "arm", active)],
    [4, format({}, "arm", { ...active, table_type: "gpt" })],
    [5, format({}, "arm", { name: "emmc" })],
    [5, format({}, "arm", { name: "emmc-boot0", partitions: undefined })],
  ] as const)
    assert.equal(found, wanted);
});

/** What the installer writes to the boot partition of a module. */
function bootPartition(folder: string, product: string, size: number): Buffer {
  const image = readImageJson(fs.readFileSync(path.join(folder, "image.json"), "utf8"));
  const { content } = image.blockdevs.find(({ name }) => name.endsWith("boot0"))!;
  const written = Buffer.alloc(size);
  for (const { filename, dd_options, product_ids } of content!.rawfiles!) {
    if (product_ids !== undefined && !product_ids.includes(product)) continue;
    const [, seek] = /^seek=(\d+)$/.exec(dd_options!)!;
    fs.readFileSync(path.join(folder, filename)).copy(written, Number(seek) * 512);
  }
  return written;
}

test("an image that fits its medium, but not as the installer places it, is refused when that is known", (t) => {
  const folder = temporaryFolder(t);
  const root = makeRoot(folder);
  const set = ["storage.alignment=512", "partitions.bootfs.offset=4MiB", "partitions.userdata.size=119MiB"];
  const settings = [...set, "partitions.rootfs.size=13MiB"].flatMap((setting) => ["--set", setting]);
  const result = imgbuild([...SMALL, root, "--format", "tezi", ...IDS, ...settings], { cwd: folder });
  assert.equal(result.status, 1);
  assert.match(result.stderr, /Toradex Easy Installer.* needs 208 MiB, and the medium has 200/);
});

/** In the shapes that Toradex's layers, TorizonCore Builder and others give them. */
const SAMPLES: Readonly<Record<string, object>> = {
  "two partitions, format as text": {
    config_format: "2",
    autoinstall: false,
    name: "Reference Minimal Image",
    description: "Minimal",
    version: "6.0.0",
    release_date: "2024-03-01",
    u_boot_env: "u-boot-initial-env-sd",
    prepare_script: "prepare.sh",
    wrapup_script: "wrapup.sh",
    marketing: "marketing.tar",
    icon: "toradexlinux.png",
    supported_product_ids: ["0014", "0015", "0016", "0017"],
    blockdevs: [
      {
        name: "mmcblk0",
        partitions: [
          {
            partition_size_nominal: 48,
            want_maximised: false,
            content: {
              label: "BOOT",
              filesystem_type: "FAT",
              mkfs_options: "",
              filename: "a.bootfs.tar.xz",
              uncompressed_size: 7.5,
            },
          },
          {
            partition_size_nominal: 512,
            want_maximised: true,
            content: { label: "RFS", filesystem_type: "ext4", mkfs_options: "-E nodiscard", filename: "a.tar.xz" },
          },
        ],
      },
      {
        name: "mmcblk0boot0",
        erase: true,
        content: {
          filesystem_type: "raw",
          rawfiles: [
            { filename: "SPL", dd_options: "seek=2" },
            { filename: "u-boot.img", dd_options: "seek=138" },
          ],
        },
      },
    ],
  },
  "one partition, files beside it": {
    config_format: 4,
    autoinstall: true,
    name: "OTA root",
    description: "",
    license: "LA_OPT.html",
    releasenotes: "releasenotes.html",
    supported_product_ids: ["0058", "0061"],
    blockdevs: [
      {
        name: "emmc",
        table_type: "gpt",
        partitions: [
          {
            partition_size_nominal: 512,
            want_maximised: true,
            content: {
              label: "otaroot",
              filesystem_type: "ext4",
              mkfs_options: "-E nodiscard",
              filename: "ota.tar.zst",
              filelist: ["containers.tar:/ostree/deploy:true", "target.json:/var"],
            },
          },
        ],
      },
      {
        name: "emmc-boot0",
        erase: true,
        content: { filesystem_type: "raw", rawfiles: [{ filename: "imx-boot", dd_options: "seek=0" }] },
      },
    ],
  },
  "a raw root, files by product": {
    config_format: 5,
    name: "Raw",
    description: "Raw",
    supported_product_ids: ["0069", "0071"],
    blockdevs: [
      {
        name: "mmcblk0",
        partitions: [
          { partition_size_nominal: 64, partition_type: "83", content: { rawfile: { filename: "root.squashfs" } } },
        ],
        content: {
          rawfiles: [
            { filename: "tiboot3-gp.bin", dd_options: "seek=0", product_ids: ["0069"] },
            { filename: "env", offset: -8704 },
          ],
        },
      },
    ],
  },
};

test("a list for a web server takes what public tools make", (t) => {
  const folder = temporaryFolder(t);
  for (const [name, sample] of Object.entries(SAMPLES)) {
    fs.mkdirSync(path.join(folder, name));
    const text = JSON.stringify(sample);
    fs.writeFileSync(path.join(folder, name, "image.json"), text);
    const named = text.matchAll(
      /"(?:filename|u_boot_env|[a-z]+_script|icon|license|marketing|releasenotes)":"([^"]+)"/g,
    );
    for (const [, file] of named) fs.writeFileSync(path.join(folder, name, file!), "");
  }
  const expected = Object.entries(SAMPLES).map(([name, sample]) => ({ file: `${name}/image.json`, ...sample }));
  const found = findImages(folder).map(({ file, name, productIds }) => [file, name, productIds]);
  assert.deepEqual(
    found,
    expected
      .map(({ file, ...sample }) => {
        const { name, supported_product_ids } = readImageJson(JSON.stringify(sample));
        return [file, name, supported_product_ids];
      })
      .sort(),
  );
});

test("the second writing of the installer takes what public tools make, and refuses what the installer does", () => {
  for (const [name, sample] of Object.entries(SAMPLES)) {
    const image = readImageJson(JSON.stringify(sample));
    for (const sectors of EMMC) assert.ok(placesOf(image.blockdevs[0]!, sectors).length > 0, name);
  }
  const first = SAMPLES["two partitions, format as text"]!;
  const changed = (change: object) => () => readImageJson(JSON.stringify({ ...first, ...change }));
  assert.throws(changed({ config_format: 6 }), /config_format/);
  assert.throws(changed({ config_format: 1, u_boot_env: "env" }), /u_boot_env needs format 2/);
  assert.throws(changed({ description: undefined }), /description/);
  assert.throws(changed({ supported_product_ids: ["14"] }));
  assert.throws(
    changed({ blockdevs: [{ name: "mmcblk0", content: { filesystem_type: "squashfs" } }] }),
    /file system type/,
  );
  assert.throws(() => readImageJson('{ "config_format": 2, }'), /JSON/);
});
