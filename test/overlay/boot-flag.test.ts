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
