/** docs/command-line.md has every command and every option, and none that there is not. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { withCosts } from "../../bench/costs.js";
import { fromText } from "../../src/bytes/bytestring.js";
import { readPseudoFile } from "../../src/host.js";
import { OUTPUT_NAMES } from "../../src/output/outputs.js";
import { COMPRESSORS, type FormatCompressor, readSortFile } from "../../src/squashfs/index.js";
import { newDirectory } from "../../src/tree/index.js";
import { imgbuild } from "../support/cli.js";

const DOCUMENT = fs.readFileSync(path.resolve(import.meta.dirname, "../../../docs/command-line.md"), "utf8");

/** The text of a section, and of the sections in it. */
function section(heading: string): string {
  const found = DOCUMENT.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  assert.ok(found, `there is no section ${heading}`);
  return found;
}

const optionsIn = (text: string) => new Set([...text.matchAll(/--[a-z]+(?:-[a-z]+)*/g)].map(([option]) => option));

const help = (...args: string[]) => imgbuild([...args, "--help"]).stdout;

test("every option of every command is documented, and no other", () => {
  const shared = optionsIn(section("Every command"));
  const content = optionsIn(section("What goes in"));
  const all = new Set<string>([...shared]);
  const commands = [
    "build",
    "squashfs",
    "ext4",
    "fat",
    "inspect",
    "ls",
    "cat",
    "extract",
    "verify",
    "diff",
    "flash",
    "boot",
    "env",
  ];
  for (const command of [...commands, "tezi-list", "profiles"]) {
    const own = optionsIn(section(command));
    for (const option of optionsIn(help(command))) {
      all.add(option);
      const negated = option.replace("--", "--no-");
      const known = [option, negated].some((name) => own.has(name) || shared.has(name) || content.has(name));
      assert.ok(known, `${command} ${option} is not documented`);
    }
  }
  for (const option of optionsIn(DOCUMENT.slice(0, DOCUMENT.indexOf("## Coming from")))) {
    const named = option.replace("--no-", "--");
    // Of git and GNU tar, and the prefix itself.
    if (!["--always", "--no", "--xattrs", "--xattrs-include"].includes(option))
      assert.ok(all.has(named), `there is no option ${option}`);
  }
});

test("every command is documented", () => {
  const commands = [...help().matchAll(/^ {2}imgbuild (\w+)/gm)].map(([, name]) => name!);
  assert.ok(commands.length >= 8);
  for (const name of commands) assert.match(DOCUMENT, new RegExp(`^ {4}imgbuild \\[?${name}`, "m"));
});

test("the example files can be read", () => {
  /** The indented block that begins with `first`. */
  const example = (first: string) => {
    const block = new RegExp(`^ {4}${first}.*\n(?: {4}.*\n)*`, "m").exec(DOCUMENT)![0];
    return fromText(block.replace(/^ {4}/gm, ""));
  };
  assert.equal(readPseudoFile(example("# name"), "example").length, 10);
  const notices: string[] = [];
  const notice = (text: string) => notices.push(text);
  readSortFile(example("# path"), { root: newDirectory() }, "example", { notice });
  assert.match(notices.join(), /4 of the paths/);
});

test("every compressor is documented, with its levels and its default", () => {
  const rows = [...section("squashfs").matchAll(/^\| (\w+) +\| (\d+) to (\d+) +\| (\d+) +\|/gm)].map(
    ([, ...cells]) => cells,
  );
  const expected = Object.entries<FormatCompressor>(COMPRESSORS).map(([name, compressor]) => {
    const { minLevel, maxLevel, defaultLevel } = compressor;
    return [name, `${minLevel}`, `${maxLevel}`, `${defaultLevel}`];
  });
  assert.deepEqual(rows, expected);
});

test("every output is documented, and no other", () => {
  const document = fs.readFileSync(path.resolve(import.meta.dirname, "../../../docs/outputs.md"), "utf8");
  const [table] = document.split(/^## /m);
  const rows = [...table!.matchAll(/^\| ([a-z0-9.]+) +\|/gm)].map(([, name]) => name!);
  assert.deepEqual(
    rows.filter((name) => name !== "output"),
    OUTPUT_NAMES,
  );
});

test("what outputs cost is what was recorded; if not: make docs", () => {
  const root = path.resolve(import.meta.dirname, "../../..");
  const document = fs.readFileSync(path.join(root, "docs/outputs.md"), "utf8");
  const recorded = JSON.parse(fs.readFileSync(path.join(root, "bench/recorded.json"), "utf8"));
  assert.equal(withCosts(document, recorded), document);
  // Every output has a row that a record would change; img is what they are compared with.
  for (const name of [...OUTPUT_NAMES.filter((one) => one !== "img"), "rauc, signed"]) {
    const row = (cpu: number, memory: number) =>
      withCosts(document, { [`adding ${name}`]: { cpu, memory } })
        .split("\n")
        .filter((line) => line.startsWith(`| ${name} `) && line.includes("%"));
    assert.match(row(1.054, 3.14)[0] ?? "", /\| \+ 5 % +\| × 3\.1 +\|/, name);
    assert.match(row(0.98, 1.004)[0] ?? "", /\| - 2 % +\| \+ 0 % +\|/, name);
  }
});
