/** U-Boot's environment, against libubootenv's fw_printenv and fw_setenv and U-Boot's own mkenvimage, both ways. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { crc32 } from "node:zlib";
import { type ByteString, fromText } from "../../src/bytes/bytestring.js";
import { ImgbuildError } from "../../src/errors.js";
import {
  decodeEnvironment,
  type Environment,
  type EnvironmentCopy,
  encodeEnvironment,
  formatEnvironment,
  newerCopy,
  nextFlag,
  parseEnvironment,
} from "../../src/uboot/index.js";
import { imgbuild } from "../support/cli.js";
import fc from "../support/fast-check.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const SIZE = 0x2000;
const env = (variables: Record<string, string>): Environment =>
  new Map(Object.entries(variables).map(([name, value]) => [fromText(name), fromText(value)]));
const plain = (environment: Environment) => Object.fromEntries(environment);

const TEXT = `# what a board may have
bootcmd=run distro_bootcmd; reset
console=ttymxc0

boot_targets=mmc0 usb0
odd= "x" = \\y $z \u00e9
root_part=2
`;

/** A configuration for fw_printenv and fw_setenv: the copies of an environment in a file. */
function config(folder: string, file: string, ...offsets: number[]): string {
  const at = path.join(folder, "fw_env.config");
  fs.writeFileSync(at, offsets.map((offset) => `${file} ${offset} 0x${SIZE.toString(16)}\n`).join(""));
  return at;
}

/** What fw_printenv prints, by name. */
function printenv(configuration: string): Record<string, string> {
  const lines = run("fw_printenv", ["-c", configuration]).trimEnd().split("\n");
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

const skipped = (t: TestContext) => lacks(t, "fw_printenv", "fw_setenv", "mkenvimage");

test("make gives the bytes of mkenvimage; what it makes is read", (t) => {
  if (skipped(t)) return;
  const cwd = temporaryFolder(t);
  fs.writeFileSync(path.join(cwd, "text"), `${TEXT}lines=one\\\ntwo\n`);
  const bytes = (file: string) => fs.readFileSync(path.join(cwd, file));
  for (const padding of ["ff", "00"]) {
    execFileSync("mkenvimage", ["-s", `${SIZE}`, "-p", `0x${padding}`, "-o", "theirs", "text"], { cwd });
    const made = imgbuild(["env", "make", "text", "ours", "--size", "8K", "--padding", padding], { cwd });
    assert.equal(made.status, 0, made.stderr);
    assert.deepEqual(bytes("ours"), bytes("theirs"));
  }
  execFileSync("mkenvimage", ["-r", "-s", `${SIZE}`, "-o", "theirs", "text"], { cwd });
  const both = imgbuild(["env", "make", "text", "ours", "--size", "0x2000", "--redundant", "--json"], { cwd });
  assert.deepEqual(JSON.parse(both.stdout), { file: "ours", variables: 6 });
  assert.deepEqual(bytes("ours").subarray(0, SIZE), bytes("theirs"));
  assert.equal(bytes("ours").length, 2 * SIZE);

  const printed = imgbuild(["env", "print", "theirs", "lines", "odd", "--json"], { cwd });
  assert.notEqual(printed.status, 0);
  assert.match(printed.stderr, /--redundant/);
  const json = imgbuild(["env", "print", "ours", "lines", "odd", "--redundant", "--json"], { cwd });
  assert.deepEqual(JSON.parse(json.stdout), { lines: "one\ntwo", odd: ' "x" = \\y $z \u00e9' });
  const again = imgbuild(["env", "print", "ours", "--redundant"], { cwd }).stdout;
  assert.equal(again, `${TEXT}lines=one\\\ntwo\n`.replace(/^#.*\n|^\n/gm, ""));
});

test("fw_printenv reads what we write, and we read what fw_setenv writes: single, in the middle of a file", (t) => {
  if (skipped(t)) return;
  const cwd = temporaryFolder(t);
  const file = path.join(cwd, "boot0.img");
  const environment = env({ bootcmd: "run x", root_part: "2" });
  fs.writeFileSync(file, new Uint8Array(0x20000));
  const offset = 0x20000 - 0x2200;
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, encodeEnvironment(environment, { size: SIZE }), 0, SIZE, offset);
  fs.closeSync(fd);
  const configuration = config(cwd, file, offset);
  assert.deepEqual(printenv(configuration), { bootcmd: "run x", root_part: "2" });

  run("fw_setenv", ["-c", configuration, "root_part", "3"]);
  run("fw_setenv", ["-c", configuration, "added", "by fw_setenv"]);
  const place = ["--offset=-0x2200", "--size", "8K"];
  const found = JSON.parse(imgbuild(["env", "print", file, ...place, "--json"]).stdout);
  assert.deepEqual(found, { added: "by fw_setenv", bootcmd: "run x", root_part: "3" });

  const set = imgbuild(["env", "set", file, "root_part=4", "new=a b", "--remove", "added", ...place]);
  assert.equal(set.status, 0, set.stderr);
  assert.deepEqual(printenv(configuration), { bootcmd: "run x", root_part: "4", new: "a b" });
});

test("redundant: both programs write the older copy, and take the newer one, past 255 too", (t) => {
  if (skipped(t)) return;
  const cwd = temporaryFolder(t);
  const file = path.join(cwd, "env");
  const copies = [encodeEnvironment(env({ n: "old" }), { size: SIZE, flag: 252 })];
  copies.push(encodeEnvironment(env({ n: "0" }), { size: SIZE, flag: 253 }));
  fs.writeFileSync(file, Buffer.concat(copies));
  const configuration = config(cwd, file, 0, SIZE);
  for (let i = 0; i < 6; i++) {
    assert.deepEqual(printenv(configuration), { n: `${i}` });
    assert.equal(imgbuild(["env", "print", file, "n", "--redundant"]).stdout, `n=${i}\n`);
    if (i % 2) run("fw_setenv", ["-c", configuration, "n", `${i + 1}`]);
    else assert.equal(imgbuild(["env", "set", file, `n=${i + 1}`, "--redundant"]).status, 0);
  }
  // A torn copy does not count.
  const bytes = fs.readFileSync(file);
  const flags = [bytes[4]!, bytes[SIZE + 4]!];
  const newer = flags[0] === nextFlag(flags[1]!) ? 0 : SIZE;
  fs.writeFileSync(file, bytes.fill(0x55, newer + 100, newer + 200));
  assert.equal(imgbuild(["env", "print", file, "n", "--redundant"]).stdout, "n=5\n");
  assert.deepEqual(printenv(configuration), { n: "5" });
});

test("variables that nobody here would set are carried along when another is set", (t) => {
  if (skipped(t)) return;
  const cwd = temporaryFolder(t);
  const file = path.join(cwd, "env");
  const stored = Buffer.alloc(SIZE);
  stored.write("#odd=2\0two\nlines=x\0bootdelay=3\0\0", 4, "latin1");
  stored.writeUInt32LE(crc32(stored.subarray(4)), 0);
  fs.writeFileSync(file, stored);
  const set = imgbuild(["env", "set", file, "bootdelay=0"]);
  assert.equal(set.status, 0, set.stderr);
  const printed = execFileSync("fw_printenv", ["-c", config(cwd, file, 0)], { encoding: "latin1" });
  assert.deepEqual(printed.split("\n").sort(), ["", "#odd=2", "bootdelay=0", "lines=x", "two"]);
  assert.deepEqual(JSON.parse(imgbuild(["env", "print", file, "--json"]).stdout), {
    "#odd": "2",
    "two\nlines": "x",
    bootdelay: "0",
  });
  // As text it would be read as a comment.
  assert.match(imgbuild(["env", "print", file]).stderr, /the name "#odd" begins with #/);
  assert.equal(imgbuild(["env", "print", file, "bootdelay"]).stdout, "bootdelay=0\n");
  // Setting one is refused, taking it out is not.
  assert.match(imgbuild(["env", "set", file, "#more=1"]).stderr, /cannot have a variable with the name "#more"/);
  assert.equal(imgbuild(["env", "set", file, "--remove", "#odd"]).status, 0);
  assert.deepEqual(Object.keys(JSON.parse(imgbuild(["env", "print", file, "--json"]).stdout)), [
    "two\nlines",
    "bootdelay",
  ]);
});

/** Names and values of bytes, of which those that the text form treats in a special way are frequent. */
const bytes = (special: string, rest: [number, number]) =>
  fc.oneof(
    fc.constantFrom(...special),
    fc.integer({ min: rest[0], max: rest[1] }).map((code) => String.fromCharCode(code)),
  );
const nameOf = (byte: fc.Arbitrary<string>) =>
  fc.array(byte, { minLength: 1, maxLength: 6 }).map((parts) => parts.join("") as ByteString);
const anyName = nameOf(bytes("\\#_ .", [1, 255])).filter((name) => !/^#|[=\n]/.test(name));
const anyValue = nameOf(bytes("\\\n\r#= ", [1, 255]));
const textValue = anyValue.filter((value) => !/[\\\r]$/.test(value));
const environmentOf = (name: fc.Arbitrary<ByteString>, value: fc.Arbitrary<ByteString>) =>
  fc.array(fc.tuple(name, value), { maxLength: 6 }).map((entries): Environment => new Map(entries));

test("whatever can be stored comes back: from both kinds, and from the text", () => {
  fc.assert(
    fc.property(environmentOf(anyName, anyValue), fc.option(fc.nat(255), { nil: undefined }), (environment, flag) => {
      const kind = flag === undefined ? "single" : "redundant";
      const copy = decodeEnvironment(encodeEnvironment(environment, { size: 256, flag }), kind);
      assert.deepEqual(copy, { variables: environment, flag });
    }),
  );
  fc.assert(
    fc.property(environmentOf(anyName, textValue), (environment) => {
      const parsed = parseEnvironment(formatEnvironment(environment), "text");
      assert.deepEqual([...parsed], [...environment]);
    }),
  );
});

test("mkenvimage makes the same bytes of a text, whatever is in it", (t) => {
  if (skipped(t)) return;
  // Where a line goes on, mkenvimage takes an empty one and one that begins with # for no part of it, and loses the end.
  const value = textValue.filter((one) => !/\n#|\n$/.test(one));
  const cwd = temporaryFolder(t);
  const file = (name: string) => path.join(cwd, name);
  fc.assert(
    fc.property(
      environmentOf(anyName, value).filter(({ size }) => size > 0),
      (environment) => {
        fs.writeFileSync(file("text"), Buffer.from(formatEnvironment(environment), "latin1"));
        execFileSync("mkenvimage", ["-s", "256", "-o", file("theirs"), file("text")]);
        assert.deepEqual(
          new Uint8Array(fs.readFileSync(file("theirs"))),
          encodeEnvironment(environment, { size: 256 }),
        );
      },
    ),
    { numRuns: 40 },
  );
});

test("a value that ends in a backslash has no text form, and is stored all the same", () => {
  const environment = env({ path: "C:\\", next: "1" });
  const error = { code: "not-representable", message: /the value of "path" ends in a backslash/ };
  assert.throws(() => formatEnvironment(environment), error);
  assert.deepEqual(decodeEnvironment(encodeEnvironment(environment, { size: 64 }), "single")?.variables, environment);
  // Within a value it is one like others, also in front of a line feed.
  const inside = env({ path: "a\\\nb\\c" });
  assert.deepEqual(plain(parseEnvironment(formatEnvironment(inside), "text")), plain(inside));
});

test("fw_printenv reads what we store, and we what fw_setenv stores, whatever the values are", (t) => {
  if (skipped(t)) return;
  const cwd = temporaryFolder(t);
  const file = path.join(cwd, "env");
  const name = nameOf(bytes("_.", [97, 122])).filter((one) => !one.startsWith("."));
  // What stands in one line of what fw_printenv prints.
  const value = nameOf(bytes("\\#= $\"'", [32, 126])).map((one) => `v${one}v` as ByteString);
  const environments = fc.sample(
    environmentOf(name, value).filter(({ size }) => size > 0),
    12,
  );
  for (const [index, environment] of environments.entries()) {
    const isRedundant = index % 2 === 1;
    const size = SIZE;
    const copies = isRedundant ? [1, 0] : [undefined];
    fs.writeFileSync(file, Buffer.concat(copies.map((flag) => encodeEnvironment(environment, { size, flag }))));
    const configuration = config(cwd, file, ...(isRedundant ? [0, SIZE] : [0]));
    assert.deepEqual(printenv(configuration), plain(environment));
    const [changed, old] = [...environment][0]!;
    run("fw_setenv", ["-c", configuration, changed, `${old}more`]);
    const stored = fs.readFileSync(file);
    const kind = isRedundant ? "redundant" : "single";
    const found = copies.map((_, i) => decodeEnvironment(stored.subarray(i * SIZE, (i + 1) * SIZE), kind));
    const current = found[newerCopy(found[0], found[1])!]!;
    assert.deepEqual(plain(current.variables), { ...plain(environment), [changed]: `${old}more` });
  }
});

test("which copy counts", () => {
  const copy = (flag: number): EnvironmentCopy => ({ variables: new Map(), flag });
  assert.equal(newerCopy(undefined, undefined), undefined);
  assert.equal(newerCopy(copy(0), undefined), 0);
  assert.equal(newerCopy(undefined, copy(0)), 1);
  assert.equal(newerCopy(copy(1), copy(1)), 0);
  assert.equal(newerCopy(copy(1), copy(2)), 1);
  assert.equal(newerCopy(copy(255), copy(0)), 1);
  assert.equal(newerCopy(copy(0), copy(255)), 0);
  assert.equal(newerCopy(copy(254), copy(0)), 0);
});

test("what cannot be stored is refused", () => {
  const refused = (code: string, call: () => unknown) =>
    assert.throws(call, (error: unknown) => error instanceof ImgbuildError && error.code === code && !!error.hint);
  const one = (name: string, value: string) => encodeEnvironment(env({ [name]: value }), { size: 64 });
  assert.equal(one("a", "x".repeat(64 - 4 - 4)).length, 64);
  refused("does-not-fit", () => one("a", "x".repeat(64 - 4 - 3)));
  refused("not-representable", () => one("", "x"));
  refused("not-representable", () => one("a=b", "x"));
  refused("not-representable", () => one("a", "x\0y"));
  refused("not-representable", () => parseEnvironment(fromText("a=\n"), "text"));
  refused("source-invalid", () => parseEnvironment(fromText("a=1\nnothing\n"), "text"));
  refused("not-representable", () => parseEnvironment(fromText("=1\n"), "text"));
  // The line ends of Windows would become a part of every value.
  for (const text of ["a=1\r\nb=2\r\n", "a=1\nb=2\r", "\r\n", "a=1\\\r\n2\r\n"]) {
    assert.throws(() => parseEnvironment(fromText(text), "text"), {
      code: "source-invalid",
      message: /^text:\d: .*CR LF/,
    });
  }
  refused("not-representable", () => formatEnvironment(env({ a: "1\r" })));
  const inside = env({ a: "1\r\n2" });
  assert.deepEqual(plain(parseEnvironment(formatEnvironment(inside), "text")), plain(inside));
});

test("empty, repeated and odd ones come back as they were; damage is noticed at every byte", () => {
  assert.deepEqual(plain(decodeEnvironment(encodeEnvironment(env({}), { size: 16 }), "single")!.variables), {});
  assert.deepEqual(plain(parseEnvironment(fromText("a=1\nb=2\na=3\n"), "text")), { b: "2", a: "3" });
  const odd = env({ a: "=", "b c": "\xff\x01", lines: "1\n2\n" });
  assert.deepEqual(plain(parseEnvironment(formatEnvironment(odd), "text")), plain(odd));
  for (const [kind, flag] of [
    ["single", undefined],
    ["redundant", 7],
  ] as const) {
    const bytes = encodeEnvironment(odd, { size: 64, flag });
    const read = decodeEnvironment(bytes, kind)!;
    assert.deepEqual(plain(read.variables), plain(odd));
    assert.equal(read.flag, flag);
    for (let at = 0; at < bytes.length; at++) {
      // The flag is the one byte that the checksum leaves out.
      if (kind === "redundant" && at === 4) continue;
      const damaged = bytes.slice();
      damaged[at]! ^= 0x10;
      assert.equal(decodeEnvironment(damaged, kind), undefined, `byte ${at}`);
    }
  }
  // Full to the last byte.
  const full = encodeEnvironment(new Map([["a" as ByteString, "x".repeat(56) as ByteString]]), { size: 64 });
  assert.equal(decodeEnvironment(full, "single")!.variables.size, 1);
});
