/**
 * A file on BootFS asks for a factory reset. ext4 plays vfat, which not every kernel has; test/boot has the real one. It has a journal, so
 * that a power cut loses what is not synced.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";
import { device, type Mutation, oneOf, put, shim, TOOLS, TRIES } from "./device.js";

const STEP = process.env.POWER_CUTS === "all" ? 1 : 5;
const skipped = (t: TestContext) => lacks(t, ...TOOLS, "perl", "e2fsck") || lacksRoot(t);

/** mount, of which the last word may be to fail. */
const mount = (failing: string) => `${shim("mount").split("exec")[0]}
case "$*" in
*"${failing}"*) exit 1 ;;
"-t vfat "*) shift 2 && exec /bin/busybox mount -t ext4 "$@" ;;
esac
exec /bin/busybox mount "$@"
`;

/** rm, which may be to fail with the flag itself. */
const rm = `${shim("rm").split("exec")[0]}
case "$*" in
*/bootfs/factory-reset) exit 1 ;;
esac
exec /bin/busybox rm "$@"
`;

/** umount, while something on BootFS is in use. */
const umount = `${shim("umount").split("exec")[0]}
case "$*" in
*/bootfs) exit 1 ;;
esac
exec /bin/busybox umount "$@"
`;

interface FlagOptions {
  readonly failing?: string;
  readonly size?: string;
  readonly keep?: readonly string[];
  readonly mutation?: Mutation;
}

async function flagDevice(t: TestContext, { failing = "nothing", size = "8M", keep = [], mutation }: FlagOptions = {}) {
  const made = await device(t, {
    shell: "dash",
    cuttable: true,
    paths: ["/etc", "/home/root"],
    size,
    flagPartition: 1,
    keep,
    mutation,
    root: (tree) => {
      put(tree, "usr/sbin/mount", mount(failing), 0o755);
      if (failing === "rm") put(tree, "usr/sbin/rm", rm, 0o755);
      if (failing === "umount") put(tree, "usr/sbin/umount", umount, 0o755);
    },
  });
  const bootfs = path.join(temporaryFolder(t), "bootfs.img");
  run("mke2fs", ["-q", "-t", "ext4", bootfs, "4M"]);
  const sys = `
    mkdir -p sys/devices/disk/p1
    echo 1 >sys/devices/disk/p1/partition
    echo DEVNAME=bootfs >sys/devices/disk/p1/uevent
    bootfs=$(losetup --find --show ${bootfs})
    trap 'losetup --detach $loop; losetup --detach $bootfs' EXIT
    cp -a $bootfs dev/bootfs`;
  return {
    userdata: made.userdata,
    bootfs,
    boot: (commands: string, cutAt?: number) => made.boot(commands, { sys, cutAt }),
    flag: (text: string) => {
      const file = path.join(temporaryFolder(t), "flag");
      fs.writeFileSync(file, text);
      run("debugfs", ["-w", "-R", `write ${file} factory-reset`, bootfs]);
    },
    flagged: () => / factory-reset /.test(run("debugfs", ["-R", "ls /", bootfs]).replace(/\s+/g, " ")),
  };
}

const SEE = "cat /etc/x /home/root/x 2>/dev/null; ls /userdata; grep -c bootfs /proc/mounts || true";
const WRITE = "echo etc >/etc/x; echo home >/home/root/x; sync";
const RESET = "lost+found\noverlay\n0\n";

test("a flag on BootFS resets once, all or what it names", async (t) => {
  if (skipped(t)) return;
  const { boot, flag, flagged } = await flagDevice(t);
  boot(WRITE);
  assert.equal(boot(SEE), `etc\nhome\n${RESET}`);
  flag("");
  assert.equal(boot(`${SEE}; ${WRITE}`), RESET);
  assert.ok(!flagged());
  assert.equal(boot(SEE), `etc\nhome\n${RESET}`);
  flag("/etc\n");
  assert.equal(boot(SEE), `home\n${RESET}`);
  assert.equal(boot(SEE), `home\n${RESET}`);
});

test("the power fails while the flag is taken: there is one reset in the end, and no second", async (t) => {
  if (skipped(t)) return;
  const { boot, flag, flagged, userdata, bootfs } = await flagDevice(t);
  boot(WRITE);
  flag("");
  for (const file of [userdata, bootfs]) fs.copyFileSync(file, `${file}.saved`);
  let cuts = 0;
  for (let cutAt = 1; ; cutAt += STEP) {
    for (const file of [userdata, bootfs]) fs.copyFileSync(`${file}.saved`, file);
    if (boot("echo done >/dev/power", cutAt).trimEnd().endsWith("done")) break;
    cuts++;
    assert.equal(boot(`${SEE}; ${WRITE}`), RESET, `cut before program ${cutAt}`);
    assert.ok(!flagged());
    assert.equal(boot(SEE), `etc\nhome\n${RESET}`, `cut before program ${cutAt}, and a second boot`);
    run("e2fsck", ["-fn", userdata]);
  }
  assert.ok(cuts * STEP > 15, `${cuts}`);
});

test("a BootFS that cannot be written or mounted resets nothing, and says so", async (t) => {
  if (skipped(t)) return;
  for (const [failing, said] of [
    ["remount,rw", /^imgbuild: BootFS cannot be written: no factory reset/],
    ["-t vfat", /^imgbuild: BootFS cannot be mounted, to look for/],
  ] as const) {
    const { boot, flag } = await flagDevice(t, { failing });
    boot(WRITE);
    flag("");
    for (const _ of ["first", "second"]) {
      const printed = boot(SEE);
      assert.match(printed, said);
      assert.ok(printed.endsWith(`etc\nhome\n${RESET}`), printed);
    }
  }
});

test("a flag that stays leaves what UserData had been asked for before", async (t) => {
  if (skipped(t)) return;
  const { boot, flag, flagged } = await flagDevice(t, { failing: "rm" });
  boot(WRITE);
  flag("");
  boot("echo /etc >/userdata/factory-reset");
  for (let boots = 0; boots < 2; boots++) {
    const printed = boot(SEE);
    assert.match(printed, /^imgbuild: BootFS cannot be written: no factory reset/);
    assert.ok(printed.endsWith(`home\n${RESET}`) && !printed.includes("etc\nhome"), printed);
  }
  assert.ok(flagged());
});

test("a flag's wish and that of UserData stay apart", async (t) => {
  if (skipped(t)) return;
  const { boot, flag } = await flagDevice(t, { keep: ["/etc/x", "/home/root/x"] });
  boot(`${WRITE}; echo /home/root >/userdata/factory-reset`);
  flag("/etc\nimgbuild.nokeep\n");
  assert.equal(boot(SEE), `home\n${RESET}`);
});

test("the flag is off the card when the system starts, though BootFS stays mounted: a mistake there is found", async (t) => {
  if (skipped(t)) return;
  const mutation = {
    script: "usr/lib/imgbuild/boot-flag.sh",
    from: 'factory-reset" && flush "$bootfs"',
    to: 'factory-reset"',
  };
  const shown = ({ boot, flag }: Awaited<ReturnType<typeof flagDevice>>) => {
    flag("");
    boot("echo etc >/etc/x; sync -f /userdata; echo cut >/dev/power; while :; do sleep 9; done", 1_000_000);
    return boot("cat /etc/x 2>/dev/null || true");
  };
  assert.equal(shown(await flagDevice(t, { failing: "umount" })), "etc\n");
  const mistaken = await flagDevice(t, { failing: "umount", mutation });
  assert.ok(oneOf(TRIES, () => shown(mistaken) === ""));
});

const FILL =
  "cd /home/root; (yes | head -c 20000000 >big; i=0; while : >$i; do i=$((i + 1)); done; yes >small) 2>/dev/null; sync";

test("on a full UserData, too, the power fails and the flag is there until the reset is done", async (t) => {
  if (skipped(t)) return;
  const { boot, flag, flagged, userdata, bootfs } = await flagDevice(t);
  boot(WRITE);
  boot(FILL);
  flag("");
  for (const file of [userdata, bootfs]) fs.copyFileSync(file, `${file}.saved`);
  let cuts = 0;
  for (let cutAt = 1; ; cutAt += STEP) {
    for (const file of [userdata, bootfs]) fs.copyFileSync(`${file}.saved`, file);
    if (boot("echo done >/dev/power", cutAt).trimEnd().endsWith("done")) break;
    cuts++;
    assert.equal(boot(`${SEE}; ${WRITE}`).replace(/^imgbuild: .*\n/gm, ""), RESET, `cut before program ${cutAt}`);
    assert.ok(!flagged());
    assert.equal(boot(SEE), `etc\nhome\n${RESET}`, `cut before program ${cutAt}, and a second boot`);
  }
  assert.ok(cuts * STEP > 15, `${cuts}`);
});

test("a full UserData is reset, too", async (t) => {
  if (skipped(t)) return;
  const { boot, flag, flagged, userdata } = await flagDevice(t);
  boot(WRITE);
  boot(FILL);
  fs.copyFileSync(userdata, `${userdata}.full`);
  flag("/home/root");
  assert.equal(boot(SEE), `etc\n${RESET}`, "what it names, and no more");
  assert.ok(!flagged());
  fs.copyFileSync(`${userdata}.full`, userdata);
  flag("");
  assert.equal(boot(SEE).replace(/^imgbuild: .*\n/gm, ""), RESET);
  assert.ok(!flagged());
});
