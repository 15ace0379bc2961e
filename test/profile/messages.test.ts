/** What is said of wrong values: of every key of the schema, with values of every kind that it does not take. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ImgbuildError } from "../../src/errors.js";
import { problemOf, wantedText } from "../../src/profile/issue-text.js";
import { loadProfile } from "../../src/profile/load.js";
import { jsonSchema, profileSchema } from "../../src/profile/schema.js";
import { schemaKeys } from "../../src/profile/schema-keys.js";

const VALUES = [5.5, -3, 1e300, "", "???", "x".repeat(100), true, [], ["???"], [5], [{}], {}, { key: 1 }];
const PARTITIONS: Readonly<Record<string, string>> = { fat: "bootfs", squashfs: "rootfs", ext4: "userdata" };

/** A complete profile, as values; a partition of each kind. */
const BASE = loadProfile("colibri-imx6", { folder: "/" }).resolved as Readonly<Record<string, unknown>>;

/** `values` with `value` at `keys`. */
function withValue(values: unknown, [key, ...rest]: readonly string[], value: unknown): unknown {
  if (key === undefined) return value;
  if (key === "[]") return [withValue({}, rest, value)];
  const known = (typeof values === "object" ? values : {}) as Record<string, unknown>;
  return { ...known, [key]: withValue(known[key], rest, value) };
}

/** Of a key of the schema, its places in a profile. */
function places(path: string, filesystems: readonly string[] | undefined): string[][] {
  const keys = path.replaceAll("[]", ".[]").split(".");
  if (!keys.includes("*")) return [keys];
  const names = (filesystems ?? Object.keys(PARTITIONS)).map((filesystem) => PARTITIONS[filesystem]!);
  return names.map((name) => keys.map((key) => (key === "*" ? name : key)));
}

test("of every key, wrong values are said with the key, the value and what is wanted", () => {
  const refusals = new Map<string, number>();
  for (const { path, filesystems } of schemaKeys(jsonSchema())) {
    for (const keys of places(path, filesystems)) {
      for (const value of VALUES) {
        const parsed = profileSchema.safeParse(withValue(BASE, keys, value), { reportInput: true, error: wantedText });
        if (parsed.success) continue;
        refusals.set(path, (refusals.get(path) ?? 0) + 1);
        for (const { text, kind } of parsed.error.issues.map(problemOf)) {
          const form = {
            unknown: /^there is no key \S+$/,
            missing: /^\S+ is missing$/,
            wrong: /^\S+ (?:is (?:"|-?\d|true|empty|an empty |a list|a mapping).*, not \S|needs \S|belongs \S)/,
          };
          assert.match(text, form[kind], path);
          // As zod says it of itself.
          assert.doesNotMatch(text, /invalid|expected|received|unrecognized|undefined|regex|too (?:small|big)/i, path);
          assert.ok(text.length < 250, text);
        }
      }
    }
  }
  // Keys that take whatever there is would be none.
  for (const { path } of schemaKeys(jsonSchema())) assert.ok((refusals.get(path) ?? 0) >= 3, path);
});

test("what is wanted is said once, and in the words of people", () => {
  const says = (setting: string, message: string) =>
    assert.throws(
      () => loadProfile("colibri-imx6", { folder: "/", set: [setting] }),
      (error: unknown) => {
        assert.ok(error instanceof ImgbuildError);
        assert.equal(error.message, `--set: ${message}`);
        return true;
      },
    );
  says("boot=5", "boot is 5, not a mapping of keys");
  says("boot.arguments=quiet", 'boot.arguments is "quiet", not a list');
  says("boot.console=115200", "boot.console is 115200, not a text, which is in quotes");
  says("bootloader.optional=maybe", 'bootloader.optional is "maybe", not true or false');
  says("partitions.userdata.number=1.5", "partitions.userdata.number is 1.5, not a whole number");
  says("partitions.userdata.number=0", "partitions.userdata.number is 0, not a number of at least 1");
  says(
    "partitions.userdata.reservedPercent=51",
    "partitions.userdata.reservedPercent is 51, not a number of at most 50",
  );
  says(
    "partitions.bootfs.label=TWELVE-LONGS",
    'partitions.bootfs.label is "TWELVE-LONGS", not a text of at most 11 characters',
  );
  says("partitions.bootfs.fatType=64", "partitions.bootfs.fatType is 64, not 12, 16 or 32");
  says("partitions.Data.size=1", 'partitions.Data is "Data", not a name of small letters, digits, - and _');
  says("storage.size=[]", "storage.size is an empty list, not a size such as 4096, 64KiB or 1.5GiB");
  says("tezi.releaseDate=tomorrow", 'tezi.releaseDate is "tomorrow", not a date such as 2026-01-31');
  says("tezi.productIds=[]", "tezi.productIds is an empty list, not a list of at least 1 item");
  says("overlay.paths=[home]", 'overlay.paths.0 is "home", not a text that begins with /');
  says("bootloader.files=[{file: SPL}]", "bootloader.files.0 needs either sector or offset");
  says("boot.arguments=[{}]", "boot.arguments.0 is a mapping of keys, not a text");
});
