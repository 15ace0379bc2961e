/** What surrounds the emulator, with a shell script in its place: test/boot has the real one. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { QemuMachine } from "../../src/qemu/command.js";
import { bootImage } from "../../src/qemu/run.js";
import { temporaryFolder } from "../support/tools.js";

const MiB = 2 ** 20;
const RUN = path.resolve(import.meta.dirname, "../../src/qemu/run.js");

interface Bench {
  folder: string;
  image: string;
  machine: QemuMachine;
  start: { bios: string };
}

/** An image of 3 MiB, a machine whose emulator runs `script`, and a folder of its own for temporary files. */
function bench(t: TestContext, script: string): Bench {
  const folder = temporaryFolder(t);
  fs.mkdirSync(`${folder}/tmp`);
  fs.writeFileSync(`${folder}/image`, Buffer.alloc(3 * MiB, 1));
  fs.writeFileSync(`${folder}/emulator`, `#!/bin/sh\nfolder=${folder}\n${script}\n`, { mode: 0o755 });
  const before = process.env.TMPDIR;
  process.env.TMPDIR = `${folder}/tmp`;
  t.after(() => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  });
  const machine: QemuMachine = {
    program: `${folder}/emulator`,
    package: "qemu-system-arm",
    machine: "sabrelite",
    memory: 512,
    disk: "sd-card",
    serial: 0,
  };
  return { folder, image: `${folder}/image`, machine, start: { bios: "u-boot.bin" } };
}

const drive = (folder: string) => /file=(\S+)/.exec(fs.readFileSync(`${folder}/arguments`, "latin1"))![1]!;

test("an emulator that is not installed: the message says which package has it", async (t) => {
  const { folder, image, machine, start } = bench(t, "");
  await assert.rejects(bootImage({ machine: { ...machine, program: "qemu-system-none" }, image, start }), {
    code: "tool-missing",
    message: "cannot boot: qemu-system-none is not installed",
    hint: /apt-get install qemu-system-arm$/,
  });
  assert.deepEqual(fs.readdirSync(`${folder}/tmp`), []);
});

test("an emulator that has no such machine: the message says so, and where to look", async (t) => {
  const help = `if [ "$2" = help ]; then echo "Supported machines are:"; echo "virt    A machine"; exit 0; fi; exit 1`;
  const { image, machine, start } = bench(t, help);
  const booted = bootImage({ machine: { ...machine, machine: "imx8mp-evk" }, image, start });
  await assert.rejects(booted, { code: "tool-missing", message: /has no machine imx8mp-evk/, hint: /-machine help/ });
  await assert.rejects(bootImage({ machine: { ...machine, machine: "virt" }, image, start }), { code: "guest-failed" });
});

test("the image is left alone, and the snapshot goes", async (t) => {
  const { folder, image, machine, start } = bench(t, 'echo "$@" >$folder/arguments');
  await bootImage({ machine, image, start });
  assert.notEqual(drive(folder), image);
  assert.equal(fs.statSync(image).size, 3 * MiB);
  assert.deepEqual(fs.readdirSync(`${folder}/tmp`), []);
});

test("with write, the image itself is the disk, grown to a size that the card may have", async (t) => {
  const { folder, image, machine, start } = bench(t, 'echo "$@" >$folder/arguments');
  await bootImage({ machine, image, start, write: true });
  assert.equal(drive(folder), image);
  assert.ok(fs.readFileSync(image).equals(Buffer.concat([Buffer.alloc(3 * MiB, 1), Buffer.alloc(MiB)])));
});

test("a reboot ends it, unless the guest is to start again", async (t) => {
  const { folder, image, machine, start } = bench(t, 'echo "$@" >>$folder/arguments');
  await bootImage({ machine, image, start });
  await bootImage({ machine, image, start, reboots: true });
  const [ends, reboots] = fs.readFileSync(`${folder}/arguments`, "latin1").split("\n") as [string, string];
  assert.match(ends, / -no-reboot /);
  assert.doesNotMatch(reboots, /-no-reboot/);
});

test("an emulator that gives up is a failure", async (t) => {
  const { folder, image, machine, start } = bench(t, "exit 3");
  await assert.rejects(bootImage({ machine, image, start }), { code: "guest-failed", message: /ended with 3$/ });
  assert.deepEqual(fs.readdirSync(`${folder}/tmp`), []);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`${signal} ends the emulator, removes the snapshot, and then ends the program`, async (t) => {
    const { folder, image, machine, start } = bench(
      t,
      "trap 'echo ended >$folder/ended; exit 0' TERM\n: >$folder/started\nwhile :; do sleep 0.05; done",
    );
    const options = JSON.stringify({ machine, image, start });
    const program = spawn(process.execPath, [
      "--input-type=module",
      "--eval",
      `import { bootImage } from ${JSON.stringify(RUN)}; await bootImage(${options});`,
    ]);
    t.after(() => program.kill("SIGKILL"));
    while (!fs.existsSync(`${folder}/started`)) await setTimeout(10);
    assert.equal(fs.readdirSync(`${folder}/tmp`).length, 1);
    program.kill(signal);
    const [, ended] = await once(program, "exit");
    assert.equal(ended, signal);
    assert.ok(fs.existsSync(`${folder}/ended`));
    assert.deepEqual(fs.readdirSync(`${folder}/tmp`), []);
  });
}
