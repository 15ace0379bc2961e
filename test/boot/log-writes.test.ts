/**
 * What the emulated disk was told to write is recorded while a device does the steps that power cuts are tried on, and replayed
 * up to many points: after each flush, and between flushes with any part of what a disk had not promised to keep. Each point
 * is looked at from outside, by e2fsck and by the project's reader, and preinit runs over it on this machine's kernel.
 *
 * POINTS says how many points there are, SEED which of those between flushes are chosen.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { fromText } from "../../src/bytes/bytestring.js";
import { newDirectory } from "../../src/tree/node.js";
import { addNode } from "../../src/tree/tree.js";
import { device, TOOLS } from "../overlay/device.js";
import { afterCut, type LoggedWrite, readLog } from "../support/log-writes.js";
import { lacks, lacksRoot } from "../support/tools.js";
import { cutPower, GatedMachine } from "./gate.js";
import { DEMO, PROJECT } from "./image.js";
import { moments, STEPS } from "./steps.js";
import { checkUserdata, shownIn } from "./userdata-check.js";

const POINTS = Number(process.env.POINTS ?? 54);
const SEED = Number(process.env.SEED ?? 1);

/** The arguments of the emulator with the disk's writes recorded in a file. */
const recorded = (log: string) => (args: readonly string[]) =>
  args.flatMap((arg, i) => {
    if (arg === "-drive") return [];
    if (args[i - 1] !== "-drive") return [arg];
    const image = /file=(.*)$/.exec(arg)![1];
    const nodes = [
      { driver: "file", "node-name": "file", filename: image!.replaceAll(",,", ",") },
      { driver: "raw", "node-name": "image", file: "file" },
      { driver: "file", "node-name": "log", filename: log },
      { driver: "blklogwrites", "node-name": "disk", file: "image", log: "log" },
    ];
    return nodes.flatMap((node) => ["-blockdev", JSON.stringify(node)]);
  });

/** What the device has said so far, which it wrote to a sector of BootFS: fixtures/powercut. */
function saidIn(writes: readonly LoggedWrite[], at: number): string {
  return writes
    .filter((write) => write.at <= at && at < write.at + write.bytes.length)
    .map((write) => {
      const text = Buffer.from(write.bytes.subarray(at - write.at, at - write.at + 512)).toString("latin1");
      return text.slice(0, text.indexOf("\n") + 1);
    })
    .join("");
}

test(`${POINTS} points of what was written, of seed ${SEED}`, async (t) => {
  if (lacks(t, "qemu-system-aarch64", "e2fsck", ...TOOLS) || lacksRoot(t)) return;
  const machine = await GatedMachine.create(t);
  const { manifest, userdata, folder } = machine.built;
  const bootfs = manifest.partitions.find(({ name }) => name === "bootfs")!;
  const script = fs.readFileSync(path.join(PROJECT, "fixtures/powercut/sbin/init"), "utf8");
  const host = await device(t, {
    paths: ["/home/root", "/opt"],
    keep: ["/home/root/mine"],
    hook: true,
    root(tree) {
      addNode(tree, fromText("opt"), newDirectory());
    },
  });
  assert.ok(fs.existsSync(path.join(DEMO, "arm64/rootfs/home/root/readme.txt")));
  // The same functions, of the script that the device has.
  const functions = script.slice(script.indexOf("show() {"), script.indexOf("# say TEXT"));
  const show = (content: Uint8Array) => {
    fs.writeFileSync(host.userdata, content);
    return shownIn(host.boot(`${functions}\nshow`));
  };
  const random = moments(SEED);
  let points = 0;
  for (const [number, step] of STEPS.entries()) {
    for (const commands of step.prepare) await machine.run(commands);
    const from = machine.read();
    const log = path.join(folder, `log-${number}`);
    fs.writeFileSync(log, "");
    const guest = await machine.boot(step.commands, recorded(log));
    await guest.waitFor("<end>\n");
    await cutPower(guest);
    const writes = readLog(log);
    fs.rmSync(log);
    const after = machine.read();
    const replayed = afterCut(from, userdata.offset, writes, writes.length, () => true);
    assert.ok(replayed.equals(after), "the log has all that was written");
    const [before, whole] = [show(from), show(after)];

    const wanted = Math.round((POINTS * (number + 1)) / STEPS.length) - points;
    const flushes = writes.flatMap(({ flush }, i) => (flush ? [i + 1] : []));
    for (let point = 0; point < wanted; point++) {
      // Half of them after a flush, with nothing lost; the others anywhere, with all, nothing or half of the rest lost.
      const afterFlush = point % 2 === 0;
      const of = afterFlush ? flushes.length : writes.length + 1;
      const chosen = Math.floor(random.next().value * of);
      const count = afterFlush ? flushes[chosen]! : chosen;
      const share = [1, 0, 0.5][point % 3]!;
      const what = `seed ${SEED}: ${step.name} (${number}), ${count} of ${writes.length} writes, ${share} of what is not flushed`;
      const left = afterCut(from, userdata.offset, writes, count, () => random.next().value < share);
      try {
        await checkUserdata(left);
        const shown = show(left);
        step.check({ shown, said: saidIn(writes.slice(0, count), bootfs.offset + 81919 * 512), whole, before });
        await checkUserdata(fs.readFileSync(host.userdata));
      } catch (error) {
        const saved = path.join(os.tmpdir(), `imgbuild-point-${SEED}-${number}-${count}.ext4`);
        fs.writeFileSync(saved, left);
        throw new Error(`${what}; what was left is in ${saved}: ${(error as Error).message}`, { cause: error });
      }
      points++;
    }
    t.diagnostic(`${step.name}: ${writes.length} writes, ${flushes.length} flushes, ${wanted} points`);
  }
});
