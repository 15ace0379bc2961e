/** docs/profiles.md is what `make docs` makes, and every key has an example, which holds. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { profileDocs } from "../../src/profile/docs.js";
import { EXAMPLES } from "../../src/profile/examples.js";
import { jsonSchema, profileSchema } from "../../src/profile/schema.js";
import { exampleOf, type SchemaKey, schemaKeys } from "../../src/profile/schema-keys.js";

const DOCUMENT = path.resolve(import.meta.dirname, "../../../docs/profiles.md");
const KEYS = [...schemaKeys(jsonSchema())];

test("docs/profiles.md is up to date; if not: make docs", () => {
  assert.equal(fs.readFileSync(DOCUMENT, "utf8"), profileDocs());
});

test("every key is described in it", () => {
  const text = fs.readFileSync(DOCUMENT, "utf8");
  assert.ok(KEYS.length > 80);
  for (const { path: key, node } of KEYS) {
    assert.ok(node.description, `${key} has no description`);
    assert.ok(text.includes(`| \`${key.split(".").at(-1)}\``), key);
  }
});

test("addresses are shown as people write them", () => {
  const text = fs.readFileSync(DOCUMENT, "utf8");
  const examples = [...text.matchAll(/`\w+Address: (\S+)`/g)].map(([, value]) => value!);
  assert.equal(examples.length, 2);
  for (const value of examples) assert.match(value, /^0x[0-9a-f]{8}$/);
});

/** What a partition of each file system has to have. */
const partitions = {
  fat: { filesystem: "fat", size: "64MiB" },
  squashfs: { filesystem: "squashfs", size: "64MiB" },
  ext4: { filesystem: "ext4", size: "64MiB" },
};
const BOARD = {
  architecture: "arm",
  storage: { size: "1GiB", table: "mbr" },
  partitions,
  bootloader: { area: "boot0", files: [{ file: "SPL", sector: 2 }] },
  boot: { kernel: "zImage", console: "ttyS0" },
  flash: { uuu: { rom: "sdp" } },
  tezi: { productIds: ["0014"] },
  emulator: { machine: "virt", storage: "virtio-blk", boot: "kernel" },
};

/** Items of lists, with what an item has to have. */
const ITEMS: Readonly<Record<string, object>> = {
  "storage.reserved": { name: "calibration", start: 0, size: 512 },
  "bootloader.files": { file: "SPL" },
  "overlay.layers": { path: "/opt", from: "LABEL=app" },
};

/** BOARD with `value` at the key: in a partition of the first file system that has it, or in a list's only item. */
function boardWith({ path: key, filesystems }: SchemaKey, value: unknown): object {
  const [list, inItem] = key.split("[].");
  const names = list!.replace("*", filesystems?.[0] ?? "squashfs").split(".");
  const board = structuredClone(BOARD) as Record<string, unknown>;
  let target = board;
  for (const name of names.slice(0, -1)) {
    target[name] = { ...(target[name] as object | undefined) };
    target = target[name] as Record<string, unknown>;
  }
  if (inItem === undefined) target[names.at(-1)!] = value;
  else {
    const item: Record<string, unknown> = { ...ITEMS[list!], [inItem]: value };
    if (list === "bootloader.files" && inItem === "file") item.sector = 2;
    target[names.at(-1)!] = [item];
  }
  // xz's own keys are for that compressor.
  if (key.startsWith("partitions.*.xz.")) Object.assign(partitionOf(board), { compressor: "xz" });
  return board;
}

const partitionOf = (board: Record<string, unknown>) => (board.partitions as Record<string, object>).squashfs!;

test("every key has an example, which the schema takes", () => {
  for (const key of KEYS) {
    if (key.holdsKeys) continue;
    const example = exampleOf(key);
    assert.notEqual(example, undefined, `${key.path} has no example: src/profile/examples.ts`);
    const board = boardWith(key, example);
    const parsed = profileSchema.safeParse(board);
    assert.ok(parsed.success, `${key.path}: ${JSON.stringify(parsed.error?.issues)}`);
    const changed = boardWith(key, { no: "value of any key" });
    assert.ok(!profileSchema.safeParse(changed).success, `${key.path} is not where the test puts it`);
  }
});

test("there is no example of a key that there is not, and the JSON Schema has them", () => {
  const known = new Set(KEYS.map(({ path: key }) => key));
  for (const key of Object.keys(EXAMPLES)) assert.ok(known.has(key), key);
  const size = jsonSchema().properties!.storage!.properties!.size!;
  assert.deepEqual(size.examples, ["7GiB"]);
});
