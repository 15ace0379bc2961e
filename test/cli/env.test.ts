/** What `imgbuild env` refuses, and what it leaves as it was. Its formats are held against U-Boot's tools in test/uboot. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { imgbuild } from "../support/cli.js";
import { temporaryFolder } from "../support/tools.js";

function folderWithEnvironment(t: Parameters<typeof temporaryFolder>[0]): string {
  const cwd = temporaryFolder(t);
  fs.writeFileSync(path.join(cwd, "text"), "bootdelay=1\n");
  assert.equal(imgbuild(["env", "make", "text", "env", "--size", "8K"], { cwd }).status, 0);
  return cwd;
}

test("env set takes each NAME=VALUE as it is, also with a backslash at its end or a # in front", (t) => {
  const cwd = folderWithEnvironment(t);
  assert.equal(imgbuild(["env", "set", "env", "a=1\\", "b=2"], { cwd }).status, 0);
  const { stdout } = imgbuild(["env", "print", "env", "--json"], { cwd });
  assert.deepEqual(JSON.parse(stdout), { bootdelay: "1", a: "1\\", b: "2" });
  const text = imgbuild(["env", "print", "env"], { cwd });
  assert.match(text.stderr, /^error: the value of "a" ends in a backslash, .*\nhint: Print it as JSON: --json/);
  assert.equal(imgbuild(["env", "print", "env", "b"], { cwd }).stdout, "b=2\n");
  const comment = imgbuild(["env", "set", "env", "#c=3"], { cwd });
  assert.match(comment.stderr, /cannot have a variable with the name "#c"/);
  assert.match(imgbuild(["env", "set", "env", "c"], { cwd }).stderr, /^error: c is not NAME=VALUE/m);
});

test("env takes names that mean something to JavaScript for names like others", (t) => {
  const cwd = folderWithEnvironment(t);
  const set = imgbuild(["env", "set", "env", "__proto__=x", "constructor=y"], { cwd });
  assert.equal(set.status, 0, set.stderr);
  assert.equal(imgbuild(["env", "print", "env"], { cwd }).stdout, "bootdelay=1\n__proto__=x\nconstructor=y\n");
  const { stdout } = imgbuild(["env", "print", "env", "--json"], { cwd });
  assert.equal(stdout, '{"bootdelay":"1","__proto__":"x","constructor":"y"}\n');
  assert.equal(imgbuild(["env", "set", "env", "--remove", "__proto__"], { cwd }).status, 0);
  assert.match(imgbuild(["env", "print", "env", "__proto__"], { cwd }).stderr, /has no variable __proto__/);
});

test("env print with a name that is not there prints the others, and fails", (t) => {
  const cwd = folderWithEnvironment(t);
  const print = (...args: string[]) => imgbuild(["env", "print", "env", ...args], { cwd });
  const { status, stdout, stderr } = print("nope", "bootdelay");
  assert.deepEqual([status, stdout], [1, "bootdelay=1\n"]);
  assert.match(stderr, /^error: the environment has no variable nope$/m);
  const document = print("bootdelay", "nope", "--json");
  assert.equal(document.status, 1);
  assert.equal(JSON.parse(document.stdout).error.code, "source-missing");
});

test("env set refuses names with blanks, and to remove what is not there", (t) => {
  const cwd = folderWithEnvironment(t);
  const before = fs.readFileSync(path.join(cwd, "env"));
  const refused = (status: number, message: RegExp, ...args: string[]) => {
    const result = imgbuild(["env", "set", "env", ...args], { cwd });
    assert.match(result.stderr, message);
    assert.equal(result.status, status);
    assert.ok(fs.readFileSync(path.join(cwd, "env")).equals(before));
  };
  refused(2, /the name of the variable a b has a blank in it/, "a b=1");
  refused(2, /has a blank in it/, "ok=1", " a=1");
  refused(1, /^error: the environment has no variable nope$/m, "ok=1", "--remove", "nope");
});

test("env make leaves alone what is at its destination when it fails, and refuses devices and options without meaning", (t) => {
  const cwd = folderWithEnvironment(t);
  const before = fs.readFileSync(path.join(cwd, "env"));
  for (const [args, message] of [
    [["text", "env", "--size", "8"], /needs 17 bytes/],
    [["text", "env", "--size", "8K", "--offset=-0x2200"], /--offset has no meaning here/],
    [["text", "env", "--size", "8K", "--second-offset", "8K"], /--second-offset has no meaning/],
    [["text", "env", "--size", "8K", "--remove", "bootdelay"], /--remove has no meaning/],
    [["text", "env", "--size", "100000000000"], /no environment has 100000000000 bytes/],
    [["text", "env", "--size", "0"], /no environment has 0 bytes/],
    [["text", "/dev/null", "--size", "8K"], /\/dev\/null is a device, not a file/],
    [[".", "env", "--size", "8K"], /cannot read \.: EISDIR/],
  ] as const) {
    const { status, stderr } = imgbuild(["env", "make", ...args], { cwd });
    assert.notEqual(status, 0);
    assert.match(stderr, message);
    assert.deepEqual(fs.readFileSync(path.join(cwd, "env")), before);
  }
});

test("env print says what to do with a file that is no environment, or too long for one", (t) => {
  const cwd = folderWithEnvironment(t);
  fs.writeFileSync(path.join(cwd, "disk"), "");
  fs.truncateSync(path.join(cwd, "disk"), 2 ** 33);
  for (const [args, message] of [
    [["disk"], /no environment has 8589934592 bytes\nhint: Set --size/],
    [["."], /neither a file nor a block device/],
    [["env", "--second-offset", "4K"], /--second-offset has no meaning here\nhint: Add --redundant/],
    [["env", "--redundant", "--second-offset", "4K"], /copies of 8192 bytes at 0 and 4096 lie over each other/],
    [["env", "--offset", "9K"], /has 8192 bytes, and no/],
  ] as const) {
    const { status, stderr } = imgbuild(["env", "print", ...args], { cwd });
    assert.notEqual(status, 0);
    assert.match(stderr, message);
  }
});
