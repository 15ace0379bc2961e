/**
 * The part of the boot script about two slots, run by a POSIX shell as in boot-script.test.ts. Blocks of the disk are files; one
 * with "ok" in its first line has a right checksum.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type BootScript, bootScript } from "../../src/uboot/index.js";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const [CURRENT, BEFORE] = ["7f0", "7f8"];
const SCRIPT: BootScript = {
  kernel: { file: "zImage", command: "bootz" },
  rootPartition: 2,
  slots: { environmentAt: 0x7f0 * 512, sectorSize: 512 },
  arguments: ["ro"],
  console: "ttymxc0",
};

const COMMANDS = `
setenv() { name=$1; shift; eval "$name=\\$*"; }
run() { eval "eval \\"\\$$1\\""; }
load() { return 0; }
part() { eval "$4=\${3#*:}"; }
bootz() { echo "boots \${boot_rootuuid}"; exit; }
setexpr() { [ -z "$NO_SETEXPR" ] && setenv $1 $(printf %x $((0x\${2:-0} + 0x$4))); }
# U-Boot's takes what is no number for 0, and so does not mind a hexadecimal one.
digits() { set -- "\${1%%[!0-9]*}"; echo "\${1:-0}"; }
test() {
  case $2 in
  -l?) [ $(digits "$1") $2 $(digits "$3") ] ;;
  *) command test "$@" ;;
  esac
}
mmc() {
  case $1 in
  dev) return 0 ;;
  read) [ "$4" = 8 ] && cp $3 mem ;;
  write)
    case $WRITES in none) return 1 ;; ignored) return 0 ;; esac
    CUT=$((CUT - 1))
    if [ $CUT = 0 ]; then echo torn >$3; echo cut; exit; fi
    cp mem $3
    ;;
  esac
}
env() {
  case $1 in
  import)
    [ "$2 $4" = "-c 1000" ] && [ "$(head -n 1 mem)" = ok ] || return 1
    . ./mem
    ;;
  export)
    shift 5
    { echo ok; for name; do eval "value=\\$$name"; [ -z "$value" ] || echo "$name=$value"; done; } >mem
    ;;
  esac
}
`;

type Environment = Record<string, string>;

class Disk {
  readonly #folder: string;
  // No shell has functions with a dot in their names.
  readonly #script = bootScript(SCRIPT).replaceAll("mw.b", "true");

  constructor(t: TestContext, ...blocks: (Environment | undefined)[]) {
    this.#folder = temporaryFolder(t);
    for (const [i, name] of [CURRENT, BEFORE].entries()) this.write(name, blocks[i]);
  }

  write(name: string, variables: Environment | undefined): void {
    const lines = Object.entries(variables ?? {}).map(([key, value]) => `${key}=${value}`);
    fs.writeFileSync(path.join(this.#folder, name), [variables ? "ok" : "torn", ...lines, ""].join("\n"));
  }

  read(name = CURRENT): Environment | undefined {
    const [first, ...lines] = fs.readFileSync(path.join(this.#folder, name), "utf8").trimEnd().split("\n");
    return first === "ok" ? Object.fromEntries(lines.map((line) => line.split("="))) : undefined;
  }

  /** Which partition is the root; "cut" when the power failed; and all that was printed. */
  boot(environment: Environment = {}): { root: string; log: string } {
    const given = { devtype: "mmc", devnum: "0", kernel_addr_r: "K", CUT: "-9", ...environment };
    const values = Object.entries(given).map(([name, value]) => `${name}='${value}'`);
    const text = [...values, COMMANDS, this.#script].join("\n");
    const log = run("sh", ["-s"], { cwd: this.#folder, input: Buffer.from(text) });
    return { root: /^(?:boots )?(\S+)$/.exec(log.trimEnd().split("\n").at(-1)!)?.[1] ?? "", log };
  }
}

const TRIAL = { root_part: "3", root_old: "2", upgrade_available: "1", bootcount: "0", bootlimit: "3" };
const skipped = (t: TestContext) => lacks(t, "sh");

test("a root that was confirmed, and no environment at all: nothing is written", (t) => {
  if (skipped(t)) return;
  for (const [blocks, root] of [
    [[{ root_part: "3", upgrade_available: "0" }], "3"],
    [[undefined, { root_part: "3", upgrade_available: "0" }], "3"],
    [[undefined, undefined], "2"],
  ] as const) {
    const disk = new Disk(t, ...blocks);
    const before = [disk.read(CURRENT), disk.read(BEFORE)];
    assert.equal(disk.boot().root, root);
    assert.deepEqual([disk.read(CURRENT), disk.read(BEFORE)], before);
  }
});

test("a new root is tried so often, then the old one is back for good; confirmed, it stays", (t) => {
  if (skipped(t)) return;
  const often = new Disk(t, { ...TRIAL, bootlimit: "9" });
  for (let count = 1; count <= 9; count++) assert.equal(often.boot().root, "3", `${count} of 9`);
  assert.equal(often.boot().root, "2");

  const disk = new Disk(t, TRIAL);
  for (const count of ["1", "2", "3"]) {
    assert.equal(disk.boot().root, "3");
    assert.equal(disk.read()!.bootcount, count);
  }
  const { root, log } = disk.boot();
  assert.equal(root, "2");
  assert.match(log, /partition 3 did not come up: back to partition 2/);
  assert.deepEqual(disk.read(), {
    root_part: "2",
    root_failed: "3",
    upgrade_available: "0",
    bootcount: "0",
    bootlimit: "3",
  });
  assert.equal(disk.boot().root, "2");

  const confirmed = new Disk(t, TRIAL);
  confirmed.boot();
  confirmed.write(CURRENT, { ...confirmed.read()!, upgrade_available: "0" });
  for (let i = 0; i < 5; i++) assert.equal(confirmed.boot().root, "3");
});

test("a root_part of U-Boot's own is booted, and nothing counted: somebody else does", (t) => {
  if (skipped(t)) return;
  const disk = new Disk(t, TRIAL);
  assert.equal(disk.boot({ root_part: "7", upgrade_available: "1", bootcount: "2" }).root, "7");
  assert.deepEqual(disk.read(), TRIAL);
});

test("where it cannot be counted, the new root is never booted", (t) => {
  if (skipped(t)) return;
  for (const broken of [{ WRITES: "none" }, { WRITES: "ignored" }] as Environment[]) {
    const disk = new Disk(t, TRIAL);
    for (let i = 0; i < 2; i++) {
      const { root, log } = disk.boot(broken);
      assert.equal(root, "2");
      assert.match(log, /not tried/);
    }
  }
  const disk = new Disk(t, TRIAL);
  assert.equal(disk.boot({ NO_SETEXPR: "1" }).root, "2");
  const used = new Disk(t, { ...TRIAL, bootcount: "3" });
  assert.equal(used.boot({ WRITES: "none" }).root, "2");
  assert.equal(used.boot({ WRITES: "none" }).root, "2");
});

test("the power fails at any write: no try is lost count of by more than one, and the end is the old root", (t) => {
  if (skipped(t)) return;
  let cuts = 0;
  for (let at = 1; at <= 2; at++) {
    for (let boot = 0; boot < 4; boot++) {
      const disk = new Disk(t, { ...TRIAL, bootcount: `${boot}` }, { root_part: "2", upgrade_available: "0" });
      const { log } = disk.boot({ CUT: `${at}` });
      if (!log.includes("cut")) continue;
      cuts++;
      const roots = Array.from({ length: 5 }, () => disk.boot().root);
      assert.deepEqual(roots, [...Array(3 - boot).fill("3"), ...Array(2 + boot).fill("2")], `cut ${at}, boot ${boot}`);
    }
  }
  assert.equal(cuts, 8);
});
