/**
 * What every shipped board's image is made of, as text: test/golden/NAME.txt. The files are read by people, against what the
 * boards' makers say (test/golden/README.md); a change to one is a change to what boards boot from. `UPDATE_GOLDEN=1 node --test
 * build/test/image/golden.test.js` writes them anew.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { layoutText } from "../../src/cli/layout-table.js";
import { layOut } from "../../src/image/assemble.js";
import { boot0Size } from "../../src/image/boot0.js";
import type { KernelFormat, Plan } from "../../src/image/plan.js";
import { type BuildInputs, type Prepared, prepare } from "../../src/image/prepare.js";
import { shippedProfiles } from "../../src/profile/document.js";
import { loadPlan } from "../../src/profile/load.js";
import { readDirectory } from "../../src/tree/directory.js";
import { type Content, contentOf } from "../../src/tree/node.js";
import { makeRoot } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

const GOLDEN = path.resolve(import.meta.dirname, "../../../test/golden");

const KiB = 2 ** 10;
/** Lengths of the stand-ins for bootloader files: about what real ones have. */
const BOOTLOADER: Readonly<Record<string, number>> = {
  SPL: 60 * KiB,
  "u-boot.img": 900 * KiB,
  "u-boot.imx": 600 * KiB,
  "imx-boot": 1600 * KiB,
  "flash.bin": 1600 * KiB,
  "tiboot3.bin": 350 * KiB,
  "tispl.bin": 1000 * KiB,
};

/** As much of a kernel as is looked at to recognise the format. */
function kernelOf(format: KernelFormat): Uint8Array {
  const kernel = Buffer.alloc(4096);
  if (format === "zImage") kernel.writeUInt32LE(0x016f2818, 36);
  else if (format === "bzImage") kernel.write("HdrS", 0x202);
  else kernel.writeUInt32LE(0x644d5241, 56);
  return kernel;
}

const file = (length: number): Content => contentOf(new Uint8Array(length));

/** Stand-ins for everything that the board's build wants to find. */
async function partsOf(plan: Plan, folder: string): Promise<BuildInputs> {
  const { boot, bootloader } = plan;
  const root = await readDirectory(makeRoot(folder));
  const trees = [boot.defaultDeviceTree ?? [], ...boot.deviceTrees.map((name) => name.replaceAll("*", "any"))].flat();
  const bootFiles = new Map<string, Content>([
    [boot.kernel === "Image.gz" ? "Image" : boot.kernel, contentOf(kernelOf(boot.kernel))],
    ...[...trees, ...boot.files.map((name) => name.replaceAll("*", "any"))].map((name) => [name, file(KiB)] as const),
  ]);
  const loader = (bootloader?.files ?? []).map(({ file: name }) => [name, file(BOOTLOADER[name]!)] as const);
  return {
    root,
    bootFiles: [{ where: "boot files", files: bootFiles }],
    bootloaderFiles: [{ where: "bootloader", files: new Map(loader) }],
    sources: new Map(),
    time: 0,
    notice: () => {},
  };
}

/** Of the dry run's text, the places and the names of files: how long stand-ins and scripts are is no matter of the board. */
function describe(text: string): string {
  return text.replace(/^(bootfs: .*), .*$/gm, "$1").replace(/^kernel arguments: .*\n/m, "");
}

/** What else decides whether the board finds its partitions and says something. */
function facts({ partitions, boot, flash, tezi }: Plan): string[] {
  return [
    ...partitions.map(({ name, type, active }) => `${name}: type ${type}${active ? ", active" : ""}`),
    `console: ${boot.console}`,
    ...(flash.mmc === undefined ? [] : [`eMMC: mmc ${flash.mmc} in U-Boot`]),
    ...(tezi === undefined ? [] : [`products: ${tezi.productIds.join(" ")}`]),
  ];
}

for (const name of shippedProfiles()) {
  test(`${name}: the layout is the one in test/golden`, async (t) => {
    const plan = loadPlan(name, { folder: "/" });
    const prepared: Prepared = await prepare(plan, await partsOf(plan, temporaryFolder(t)));
    const layout = describe(layoutText(plan, prepared, await layOut(plan, prepared, { time: 0, jobs: 1 })));
    const text = `${layout}${facts(plan).join("\n")}\n`;
    const golden = path.join(GOLDEN, `${name}.txt`);
    if (process.env.UPDATE_GOLDEN) fs.writeFileSync(golden, text);
    assert.equal(text, fs.readFileSync(golden, "utf8"));

    const length = boot0Size(plan, prepared);
    if (length !== undefined) assert.ok(length <= plan.bootloader!.size - plan.bootloader!.reservedEnd);
  });
}

test("there is no description of a board that there is not", () => {
  const files = fs.readdirSync(GOLDEN).filter((name) => name.endsWith(".txt"));
  assert.deepEqual(files.map((name) => name.replace(/\.txt$/, "")).sort(), shippedProfiles());
});

test("of every board, the README says what its description was held against", () => {
  const text = fs.readFileSync(path.join(GOLDEN, "README.md"), "utf8");
  for (const name of shippedProfiles()) assert.match(text, new RegExp(`^\\| (?:.* )?\`${name}\``, "m"));
});
