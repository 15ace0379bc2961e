import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { partitionWithRole } from "../../src/image/plan.js";
import { readLayers, shippedProfiles } from "../../src/profile/document.js";
import { loadPlan } from "../../src/profile/load.js";
import { jsonSchema } from "../../src/profile/schema.js";
import { temporaryFolder } from "../support/tools.js";

const folder = "/";

function profileFile(t: TestContext, text: string, name = "board.yaml"): string {
  const file = path.join(temporaryFolder(t), name);
  fs.writeFileSync(file, text);
  return file;
}

/** Asserts that `load` fails with `code`, and that message and hint match. */
function fails(load: () => unknown, code: string, message: RegExp, hint: RegExp = /./): void {
  assert.throws(load, (error: unknown) => {
    assert.ok(error instanceof ImgbuildError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
}

test("every shipped profile is valid and numbers its partitions from 1", () => {
  for (const name of ["colibri-imx6", "colibri-imx8x", "qemu-arm", "qemu-arm64", "sabrelite"])
    assert.ok(shippedProfiles().includes(name), name);
  for (const name of shippedProfiles()) {
    const plan = loadPlan(name, { folder });
    assert.equal(plan.profile, name);
    assert.deepEqual(
      plan.partitions.map(({ number }) => number),
      plan.partitions.map((_, index) => index + 1),
    );
  }
});

// Sector numbers: U-Boot, include/configs/colibri_imx6.h (update_spl, update_uboot).
test("colibri-imx6 has its bootloader at sectors 2 and 138 of boot0", () => {
  const plan = loadPlan("colibri-imx6", { folder });
  assert.deepEqual(plan.bootloader, {
    area: "boot0",
    size: 4 * 2 ** 20,
    reservedEnd: 0x2200,
    optional: true,
    files: [
      { file: "SPL", offset: 1024 },
      { file: "u-boot.img", offset: 70656 },
    ],
  });
});

test("--set changes one key and leaves the others", () => {
  const plan = loadPlan("colibri-imx6", { folder, set: ["partitions.rootfs.size=100MiB", "boot.arguments=[quiet]"] });
  assert.equal(partitionWithRole(plan, "rootfs")?.size, 100 * 2 ** 20);
  assert.equal(partitionWithRole(plan, "bootfs")?.size, 64 * 2 ** 20);
  assert.deepEqual(plan.boot.arguments, ["quiet"]);
});

test("a profile extends another: what it says wins, null takes a value away", (t) => {
  const file = profileFile(t, "extends: colibri-imx6\nstorage: { size: 8GiB }\nbootloader: null\n");
  const plan = loadPlan(file, { folder });
  assert.equal(plan.profile, "board");
  assert.equal(plan.storage.size, 8 * 2 ** 30);
  assert.equal(plan.storage.table, "mbr");
  assert.equal(plan.bootloader, undefined);
});

test("a JSON file is a profile too", (t) => {
  const file = profileFile(t, '{"extends": "qemu-arm", "seed": "mine"}', "board.json");
  assert.equal(loadPlan(file, { folder }).seed, "mine");
});

test("errors name file, line and key", (t) => {
  const load = (text: string) => () => loadPlan(profileFile(t, text), { folder });
  fails(
    load("extends: qemu-arm\npartitions:\n  rootfs:\n    sise: 1MiB\n"),
    "profile-invalid",
    /board\.yaml:4: there is no key partitions\.rootfs\.sise/,
    /Did you mean size/,
  );
  fails(
    load("extends: qemu-arm\n\nstorage:\n  size: many\n"),
    "profile-invalid",
    /board\.yaml:4: storage\.size is "many", not a size such as 4096/,
  );
  fails(
    load("architecture: arm\nstorage: { table: mbr }\nboot: { console: x, kernel: Image }\n"),
    "profile-invalid",
    /board\.yaml: partitions is missing/,
  );
  fails(
    load("extends: qemu-arm\npartitions:\n  rootfs: { filesystem: btrfs }\n"),
    "profile-invalid",
    /board\.yaml:3: partitions\.rootfs\.filesystem is "btrfs", not fat, squashfs, ext4 or raw/,
  );
  fails(
    load("extends: qemu-arm\npartitions:\n  rootfs:\n    compressor: lz4\n    level: 13\n"),
    "profile-invalid",
    /board\.yaml:5: partitions\.rootfs\.level is 13, not a level of lz4: 1 to 12/,
  );
  fails(
    load("extends: qemu-arm\npartitions:\n  rootfs:\n    xz: { filters: [arm] }\n"),
    "profile-invalid",
    /board\.yaml:4: partitions\.rootfs\.xz belongs to the compressor xz, not gzip/,
  );
  fails(load("a: [1\n"), "profile-invalid", /board\.yaml:\d+: /);
});

test("an error in an extended profile names that one; one in --set names --set", (t) => {
  const base = profileFile(t, "extends: qemu-arm\nstorage:\n  table: fdisk\n", "base.yaml");
  const file = profileFile(t, `extends: ${base}\ndescription: mine\n`);
  fails(() => loadPlan(file, { folder }), "profile-invalid", /base\.yaml:3: storage\.table is "fdisk", not mbr or gpt/);
  fails(
    () => loadPlan("qemu-arm", { folder, set: ["storage.table=fdisk"] }),
    "profile-invalid",
    /^--set: storage\.table is /,
  );
  fails(() => loadPlan("qemu-arm", { folder, set: ["storage"] }), "usage", /is not PATH=VALUE/);
});

test("__proto__ is no key, in files and in --set", (t) => {
  const file = profileFile(t, "extends: qemu-arm\npartitions: { __proto__: { filesystem: ext4, size: 8MiB } }\n");
  fails(() => loadPlan(file, { folder }), "profile-invalid", /board\.yaml: there can be no key __proto__/);
  for (const setting of ["__proto__=x", "partitions.__proto__.size=8MiB", "boot.__proto__=x"]) {
    fails(() => loadPlan("qemu-arm", { folder, set: [setting] }), "usage", /is not PATH=VALUE/);
  }
  const set = ["partitions={__proto__: {filesystem: ext4}}"];
  fails(() => loadPlan("qemu-arm", { folder, set }), "usage", /there can be no key __proto__/);
});

test("a file system does not grow to less than the partition's own size", () => {
  const load = (growTo: string) => () =>
    loadPlan("qemu-arm", { folder, set: ["partitions.userdata.size=64MiB", `partitions.userdata.growTo=${growTo}`] });
  fails(load("1"), "profile-invalid", /^--set: partitions\.userdata\.growTo is 1, not at least 67108864/);
  load("64MiB")();
});

test("an error in a list that --set replaces names --set, and --set cannot say what a profile extends", () => {
  const set = (setting: string) => () => loadPlan("colibri-imx6", { folder, set: [setting] });
  fails(
    set("tezi.productIds=[14]"),
    "profile-invalid",
    /^--set: tezi\.productIds\.0 is 14, not a text, which is in quotes/,
  );
  fails(set("extends=verdin-imx8mm"), "usage", /extends is about the profile's file/);
  fails(set("abstract=true"), "usage", /abstract is about the profile's file/);
});

test("an alias that leads nowhere is an error of the profile, or of --set", (t) => {
  const file = profileFile(t, "extends: colibri-imx6\ndescription: *board\n");
  fails(() => loadPlan(file, { folder }), "profile-invalid", /board\.yaml: Unresolved alias/, /Quote/);
  const set = ["boot.deviceTrees=[*.dtb]"];
  fails(() => loadPlan("colibri-imx6", { folder, set }), "usage", /not valid YAML: Unresolved alias/, /Quote/);
});

test("a file that is no mapping is no profile, whoever extends it", (t) => {
  for (const [text, what] of [
    ["# a board\n- extends: colibri-imx6\n", /board\.yaml:2: .* a mapping .* a list$/],
    ["colibri-imx6\n", /board\.yaml:1: .* a mapping .* a single value$/],
  ] as const) {
    const file = profileFile(t, text);
    fails(() => loadPlan(file, { folder }), "profile-invalid", what, /extends: /);
    const special = profileFile(t, `extends: ${file}\n`);
    fails(() => loadPlan(special, { folder }), "profile-invalid", what, /extends: /);
  }
});

test("a profile that extends itself, and one that is not there", (t) => {
  const file = profileFile(t, "extends: ./board.yaml\n");
  fails(() => loadPlan(file, { folder }), "profile-invalid", /extends itself/);
  fails(() => loadPlan("colibri", { folder }), "profile-unknown", /no profile "colibri"/, /colibri-imx6/);
});

test("profiles of three levels: the nearest wins, key by key", (t) => {
  const grandparent = profileFile(t, "extends: qemu-arm\nseed: old\nstorage: { size: 3GiB }\n", "a.yaml");
  const parent = profileFile(t, `extends: ${grandparent}\nseed: newer\nboot: { console: tty0 }\n`, "b.yaml");
  const plan = loadPlan(profileFile(t, `extends: ${parent}\nboot: { initramfs: none }\n`), { folder });
  assert.deepEqual([plan.seed, plan.storage.size, plan.boot.console], ["newer", 3 * 2 ** 30, "tty0"]);
  assert.equal(plan.boot.initramfs, "none");
  assert.deepEqual(plan.boot.drivers, ["virtio_pci", "virtio_blk"]);
});

test("a relative path starts from the file that it is written in, one in --set from the folder of the command", (t) => {
  const shared = profileFile(
    t,
    "extends: qemu-arm\npartitions: { data: { filesystem: ext4, size: 8MiB, source: data } }\n",
  );
  const own = profileFile(
    t,
    `extends: ${shared}\npartitions: { more: { filesystem: raw, size: 1MiB, source: ../more.bin } }\n`,
  );
  const plan = loadPlan(own, {
    folder: "/project",
    set: ["partitions.third={filesystem: raw, size: 1MiB, source: x}"],
  });
  const sourceOf = (name: string) => plan.partitions.find((partition) => partition.name === name)?.source;
  assert.equal(sourceOf("data"), path.join(path.dirname(shared), "data"));
  assert.equal(sourceOf("more"), path.join(path.dirname(own), "../more.bin"));
  assert.equal(sourceOf("third"), "/project/x");
});

test("profiles that extend each other in a circle", (t) => {
  const where = temporaryFolder(t);
  for (const [name, parent] of ["ab", "bc", "cb"].map((pair) => [...pair]))
    fs.writeFileSync(path.join(where, `${name}.yaml`), `extends: ./${parent}.yaml\n`);
  fails(
    () => loadPlan("./a.yaml", { folder: where }),
    "profile-invalid",
    /b\.yaml extends itself/,
    /a\.yaml -> .*b\.yaml -> .*c\.yaml -> .*b\.yaml/,
  );
});

test("a base is no board: it is not listed, and only what extends it can be built", (t) => {
  fails(() => loadPlan("toradex", { folder }), "profile-invalid", /toradex is no board/, /extends: toradex/);
  const bases = fs.readdirSync(path.resolve(import.meta.dirname, "../../../profiles/base"));
  assert.ok(bases.length > 0);
  for (const base of bases) assert.ok(!shippedProfiles().includes(base.replace(".yaml", "")), base);
  const own = profileFile(t, "abstract: true\nextends: qemu-arm\nseed: mine\n", "own.yaml");
  fails(() => loadPlan(own, { folder }), "profile-invalid", /own\.yaml is no board/);
  assert.equal(loadPlan(profileFile(t, `extends: ${own}\n`), { folder }).seed, "mine");
});

test("a board of one's own may stand on a base", (t) => {
  const file = profileFile(
    t,
    `extends: toradex-imx6
bootloader: { files: [{ file: u-boot.imx, sector: 2 }] }
boot: { deviceTrees: [mine.dtb] }
`,
  );
  const plan = loadPlan(file, { folder });
  assert.equal(plan.architecture, "arm");
  assert.equal(plan.bootloader?.reservedEnd, 0x2200);
  assert.deepEqual(plan.boot.deviceTrees, ["mine.dtb"]);
});

test("every base is abstract, and some board rests on it", () => {
  const shipped = path.resolve(import.meta.dirname, "../../../profiles");
  const used = new Set<string>();
  for (const name of shippedProfiles())
    for (const { origin } of readLayers(path.join(shipped, `${name}.yaml`))) used.add(origin);
  for (const base of fs.readdirSync(path.join(shipped, "base"))) {
    const file = path.join(shipped, "base", base);
    assert.match(fs.readFileSync(file, "utf8"), /^abstract: true$/m, base);
    assert.ok(used.has(file), `no board extends ${base}`);
  }
});

test("the JSON Schema describes every key of the first level", () => {
  const { properties } = jsonSchema() as { properties: object };
  assert.deepEqual(Object.keys(properties), [
    "extends",
    "abstract",
    "description",
    "architecture",
    "seed",
    "storage",
    "partitions",
    "bootloader",
    "boot",
    "overlay",
    "flash",
    "update",
    "outputs",
    "tezi",
    "slots",
    "emulator",
  ]);
});
