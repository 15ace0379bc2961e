import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { type InitramfsPlan, type InitramfsRequest, planInitramfs } from "../../src/initramfs/index.js";
import { kernelOptions } from "../../src/squashfs/index.js";
import type { Tree } from "../../src/tree/tree.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";
import { moduleFile, putFile, type SampleModule, sampleTree } from "./sample.js";

const REQUEST: InitramfsRequest = { drivers: [], filesystems: ["squashfs", "overlay", "ext4"] };

/** The file systems of a Debian kernel, and what they say about themselves. */
const FILESYSTEMS: Record<string, SampleModule> = {
  "fs/squashfs/squashfs": {},
  "fs/overlayfs/overlay": {},
  "fs/ext4/ext4": { depends: ["jbd2", "mbcache"], softdep: "pre: crypto-crc32c" },
  "fs/jbd2/jbd2": {},
  "fs/mbcache": {},
};
const BUILTIN = ["kernel/fs/squashfs/squashfs.ko", "kernel/fs/overlayfs/overlay.ko", "kernel/fs/ext4/ext4.ko"];
const CONFIG = [
  "SQUASHFS=y",
  "SQUASHFS_ZLIB=y",
  "SQUASHFS_XATTR=y",
  "OVERLAY_FS=y",
  "EXT4_FS=y",
  "TMPFS=y",
  "DEVTMPFS=y",
]
  .map((line) => `CONFIG_${line}\n`)
  .join("");

const names = (plan: InitramfsPlan) => (plan.needed ? plan.modules.map(({ name }) => name) : []);

async function refusal(tree: Tree, request: Partial<InitramfsRequest>): Promise<ImgbuildError> {
  const error = await planInitramfs(tree, { ...REQUEST, ...request }).then(
    () => assert.fail("it was planned"),
    (reason) => reason,
  );
  assert.ok(error instanceof ImgbuildError, String(error));
  assert.equal(error.code, "kernel-unsupported");
  assert.ok(error.hint);
  return error;
}

for (const suffix of ["", ".gz", ".xz", ".zst"] as const) {
  for (const bits of [32, 64] as const) {
    test(`modules are found and ordered: .ko${suffix}, ${bits} bits`, async (t) => {
      if (lacks(t, "xz", "zstd")) return;
      const tree = sampleTree({
        bits,
        suffix,
        modules: {
          ...FILESYSTEMS,
          "drivers/mmc/host/sdhci-esdhc-imx": { depends: ["sdhci-pltfm", "sdhci"] },
          "drivers/mmc/host/sdhci-pltfm": { depends: ["sdhci"] },
          "drivers/mmc/host/sdhci": {},
          "drivers/net/unrelated": {},
          "crypto/crc32c_generic": { alias: ["crc32c", "crypto-crc32c"] },
        },
      });
      const request = { ...REQUEST, drivers: ["sdhci_esdhc-imx"], optionalDrivers: ["nonsense", "other"] };
      const plan = await planInitramfs(tree, request);
      assert.ok(plan.needed);
      assert.equal(plan.release, "6.1.0-test");
      assert.deepEqual(plan.target, { bits, machine: bits === 64 ? 62 : 40 });
      assert.deepEqual(names(plan), [
        ...["sdhci", "sdhci_pltfm", "sdhci_esdhc_imx", "squashfs", "overlay"],
        ...["crc32c_generic", "jbd2", "mbcache", "ext4"],
      ]);
      assert.equal(plan.modules[0]!.path, `/usr/lib/modules/6.1.0-test/kernel/drivers/mmc/host/sdhci.ko${suffix}`);
      assert.deepEqual(
        plan.modules.filter(({ optional }) => optional).map(({ name }) => name),
        ["crc32c_generic"],
      );
      assert.deepEqual(plan.notices, []);
      await assert.rejects(planInitramfs(tree, { ...REQUEST, drivers: ["nonsense"] }), {
        code: "kernel-unsupported",
        message: /6\.1\.0-test has the driver nonsense neither built in nor among the modules/,
      });
    });
  }
}

test("kmod reads the same from the modules that these tests are made of", (t) => {
  if (lacks(t, "modinfo")) return;
  const module = { depends: ["a", "b-c"], softdep: "pre: d post: e", alias: ["f"] };
  for (const bits of [32, 64] as const) {
    const file = path.join(temporaryFolder(t), "x.ko");
    fs.writeFileSync(file, moduleFile("x", module, bits));
    const field = (name: string) => run("modinfo", ["-F", name, file]).trim();
    assert.deepEqual(
      [field("depends"), field("softdep"), field("alias"), field("name")],
      ["a,b-c", "pre: d post: e", "f", "x"],
    );
  }
});

test("every module comes after what it depends on, and nothing else comes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 25 }), async (graph) => {
      // Each depends on some of the ones before it: no circle.
      const depends = graph.map((picks, i) => (i === 0 ? [] : [...new Set(picks.map((pick) => pick % i))]));
      const tree = sampleTree({
        builtin: BUILTIN,
        modules: Object.fromEntries(depends.map((on, i) => [`drivers/m${i}`, { depends: on.map((j) => `m${j}`) }])),
      });
      const wanted = depends.length - 1;
      const closure = new Set<number>();
      const visit = (i: number) => {
        closure.add(i);
        for (const j of depends[i]!) visit(j);
      };
      visit(wanted);
      const order = names(await planInitramfs(tree, { ...REQUEST, drivers: [`m${wanted}`] }));
      assert.deepEqual(new Set(order), new Set([...closure].map((i) => `m${i}`)));
      assert.equal(order.length, closure.size);
      for (const i of closure) {
        for (const j of depends[i]!) assert.ok(order.indexOf(`m${j}`) < order.indexOf(`m${i}`));
      }
    }),
    { numRuns: 60 },
  );
});

test("a kernel with everything built in needs no initramfs", async () => {
  const none = { needed: false, notices: [] };
  assert.deepEqual(
    await planInitramfs(sampleTree(), {
      ...REQUEST,
      config: CONFIG,
      compressor: { name: "gzip", kernelOptions: ["CONFIG_SQUASHFS_ZLIB"] },
    }),
    none,
  );
  assert.deepEqual(await planInitramfs(sampleTree({ builtin: BUILTIN }), REQUEST), none);
  const withModule = sampleTree({ builtin: BUILTIN, modules: { "drivers/net/dummy": {} } });
  assert.deepEqual(await planInitramfs(withModule, REQUEST), none);
});

test("where nothing tells, everything is taken for built in, with a notice", async () => {
  const plan = await planInitramfs(sampleTree(), REQUEST);
  assert.equal(plan.needed, false);
  assert.equal(plan.notices.length, 3);
  assert.match(plan.notices[0]!, /CONFIG_SQUASHFS;/);
});

test("one modular file system is enough to need an initramfs", async () => {
  const modules = { "fs/overlayfs/overlay": {} };
  const tree = sampleTree({ builtin: [BUILTIN[0]!, BUILTIN[2]!], modules });
  assert.deepEqual(names(await planInitramfs(tree, REQUEST)), ["overlay"]);
  const config = `${CONFIG.replace("OVERLAY_FS=y", "OVERLAY_FS=m")}CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\n`;
  assert.deepEqual(names(await planInitramfs(tree, { ...REQUEST, config })), ["overlay"]);
});

test("what the kernel lacks is named by its option", async () => {
  const without = (option: string) => CONFIG.replace(`CONFIG_${option}=y`, `# CONFIG_${option} is not set`);
  for (const option of ["SQUASHFS", "OVERLAY_FS", "EXT4_FS"]) {
    const error = await refusal(sampleTree(), { config: without(option) });
    assert.equal(error.data.option, `CONFIG_${option}`);
    assert.match(error.hint!, new RegExp(`CONFIG_${option}=y`));
  }
  const list = await refusal(sampleTree({ builtin: BUILTIN.slice(0, 2) }), {});
  assert.equal(list.data.option, "CONFIG_EXT4_FS");

  const compressor = await refusal(sampleTree(), {
    config: CONFIG,
    compressor: { name: "zstd", kernelOptions: ["CONFIG_SQUASHFS_ZSTD"] },
  });
  assert.equal(compressor.data.option, "CONFIG_SQUASHFS_ZSTD");
  const filter = await refusal(sampleTree(), {
    config: `${CONFIG}CONFIG_SQUASHFS_XZ=y\n`,
    compressor: { name: "xz", kernelOptions: kernelOptions("xz", { filters: ["arm"] }) },
  });
  assert.equal(filter.data.option, "CONFIG_XZ_DEC_ARM");

  const absent = await refusal(sampleTree({ builtin: BUILTIN }), {
    config: CONFIG.replace("CONFIG_SQUASHFS=y", "CONFIG_SQUASHFS=m"),
  });
  assert.match(absent.message, /as a module, which the root file system lacks/);

  const modular = sampleTree({ modules: FILESYSTEMS });
  const config = CONFIG.replace(/(SQUASHFS|OVERLAY_FS|EXT4_FS)=y/g, "$1=m");
  assert.equal((await refusal(modular, { config })).data.option, "CONFIG_BLK_DEV_INITRD");
  const initrd = `${config}CONFIG_BLK_DEV_INITRD=y\n`;
  assert.equal((await refusal(modular, { config: initrd })).data.option, "CONFIG_RD_GZIP");
});

test("a module whose dependency is missing is refused", async () => {
  const { "fs/mbcache": _, ...modules } = FILESYSTEMS;
  const error = await refusal(sampleTree({ modules }), {});
  assert.match(error.message, /ext4\.ko needs the module mbcache/);
  // Unless the kernel has it.
  const tree = sampleTree({ modules, builtin: ["kernel/fs/mbcache.ko"] });
  assert.deepEqual(names(await planInitramfs(tree, REQUEST)), ["squashfs", "overlay", "jbd2", "ext4"]);
});

test("a soft dependency is looked up in depmod's index, or is part of the kernel", async () => {
  const modules = { ...FILESYSTEMS, "drivers/crypto/odd-crc": {} };
  const indexed = sampleTree({ modules });
  putFile(
    indexed,
    "usr/lib/modules/6.1.0-test/modules.alias",
    Buffer.from("# Aliases\nalias crypto-crc32c odd_crc\nalias crypto-crc32c gone\n"),
  );
  assert.deepEqual(names(await planInitramfs(indexed, REQUEST)).slice(2), ["odd_crc", "jbd2", "mbcache", "ext4"]);

  const builtin = sampleTree({ modules: { ...modules, "crypto/crc32c_generic": { alias: ["crypto-crc32c"] } } });
  putFile(
    builtin,
    "usr/lib/modules/6.1.0-test/modules.builtin.modinfo",
    Buffer.from("crc32c_arm.license=GPL\0crc32c_arm.alias=crypto-crc32c\0"),
  );
  assert.deepEqual(names(await planInitramfs(builtin, REQUEST)).slice(2), ["jbd2", "mbcache", "ext4"]);
});

test("a module that is wanted and needed is not optional", async () => {
  const tree = sampleTree({
    builtin: BUILTIN,
    modules: { "drivers/a": { softdep: "pre: b" }, "drivers/b": {}, "drivers/c": { depends: ["b"] } },
  });
  const plan = await planInitramfs(tree, { ...REQUEST, drivers: ["a", "c"] });
  assert.ok(plan.needed);
  assert.deepEqual(
    plan.modules.map(({ name, optional }) => [name, optional]),
    [
      ["b", false],
      ["a", false],
      ["c", false],
    ],
  );
});

test("modules of several kernels need the release", async () => {
  const tree = sampleTree({ release: "5.15.1", modules: FILESYSTEMS }, { release: "6.1.2", modules: FILESYSTEMS });
  const error = await refusal(tree, {});
  assert.match(error.message, /5\.15\.1, 6\.1\.2/);
  const plan = await planInitramfs(tree, { ...REQUEST, release: "6.1.2" });
  assert.equal(plan.needed && plan.release, "6.1.2");
  const other = await planInitramfs(tree, { ...REQUEST, release: "6.6.6" });
  assert.equal(other.needed, false);
  assert.match(other.notices[0]!, /the kernel is 6\.6\.6, but .* 5\.15\.1, 6\.1\.2 only/);
});

test("a file that is no module is refused by name", async () => {
  const tree = sampleTree({ builtin: BUILTIN });
  putFile(tree, "usr/lib/modules/6.1.0-test/kernel/drivers/torn.ko", moduleFile("torn", {}).subarray(0, 90));
  putFile(tree, "usr/lib/modules/6.1.0-test/kernel/drivers/bad.ko.xz", Buffer.from("\xfd7zXZ\0 and no more", "latin1"));
  for (const name of ["torn", "bad"]) {
    await assert.rejects(
      planInitramfs(tree, { ...REQUEST, drivers: [name] }),
      (error) =>
        error instanceof ImgbuildError && error.code === "source-invalid" && error.message.includes(`/${name}.ko`),
    );
  }
});
