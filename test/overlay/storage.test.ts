/** UserData on another device: chosen, absent, of another unit, with what was written copied, and given up again. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { type Device, device, oneOf, put, type Shell, shim, TOOLS, TRIES } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];
const skipped = (t: TestContext) => lacks(t, ...TOOLS, "mke2fs", "e2fsck") || lacksRoot(t);
/** As in power-cuts.test.ts. */
const STEP = process.env.POWER_CUTS === "all" ? 1 : 3;
const UUID = "01234567-89ab-cdef-0123-456789abcdef";

function stick(t: TestContext, ...options: string[]): string {
  const image = path.join(temporaryFolder(t), "stick.ext4");
  run("mke2fs", ["-q", "-t", "ext4", "-U", UUID, ...options, image, "8M"]);
  return image;
}

/** Code for a boot with the device plugged in, as /dev/stick. */
const plugged = (image: string) => `
  stick=$(losetup --find --show ${image})
  trap 'losetup --detach $loop; losetup --detach $stick' EXIT
  cp -a $stick dev/stick`;

const WAIT_NOT = { root: (tree: Parameters<typeof put>[0]) => put(tree, "usr/sbin/sleep", "#!/bin/sh\n", 0o755) };
const SEE = "cat /run/imgbuild/degraded 2>/dev/null; cd /home/root; ls; grep -c /run/imgbuild/internal /proc/mounts";

for (const shell of SHELLS) {
  test(`UserData goes to another device and comes back, by ${shell}`, async (t) => {
    if (skipped(t)) return;
    const { boot, userdata } = await device(t, { shell, ...WAIT_NOT });
    const image = stick(t);
    const sys = plugged(image);
    const next = "It is done at the next boot.\n";
    assert.equal(boot("echo x >/home/root/internal; overlayctl storage use /dev/stick", { sys }), next);
    assert.equal(boot(`${SEE}; echo x >external; rm kept`, { sys }), "changed\ndeleted\nkept\n1\n");
    assert.equal(boot(SEE, { sys }), "changed\ndeleted\nexternal\n1\n");
    assert.equal(run("debugfs", ["-R", "cat /overlay/home-root/upper/external", image]), "x\n");
    assert.match(
      boot("overlayctl storage; overlayctl status", { sys }),
      new RegExp(
        `^UserData is on /dev/\\w+, and is to be on the device with UUID ${UUID}\\nThe internal one is at /run/imgbuild/internal\\nUserData: /dev/\\w+ on /userdata, .*\\nUserData is not the internal one`,
      ),
    );
    assert.match(boot("overlayctl status --json", { sys }), /"otherStorage":true,/);

    // BusyBox's shell has its own sleep, which would be waited for.
    if (shell === "dash") {
      // Without it, the internal one with what it had; requests are of that one.
      const absent = `UserData is to be on the device with UUID ${UUID}, but it is not there; the internal one is used`;
      assert.match(
        boot(`${SEE} || true`),
        new RegExp(`^imgbuild: degraded: ${absent}\\n${absent}\\nchanged\\ndeleted\\ninternal\\nkept\\n0\\n$`),
      );
      assert.equal(boot(SEE, { sys }), "changed\ndeleted\nexternal\n1\n");
    }

    // Snapshots and resets are of the device that is in use.
    boot("overlayctl snapshot s; overlayctl reset", { sys });
    assert.equal(boot(SEE, { sys }), "changed\ndeleted\nkept\n1\n");
    assert.match(boot("overlayctl storage use /dev/data 2>&1 || true", { sys }), /on another device already/);
    assert.equal(boot("overlayctl storage release", { sys }), next);
    assert.equal(boot(`${SEE} || true`, { sys }), "changed\ndeleted\ninternal\nkept\n0\n");
    assert.match(boot("overlayctl storage release 2>&1 || true"), /on no other device/);
    // It is this unit's, and may be taken again.
    assert.equal(boot("overlayctl storage use /dev/stick", { sys }), next);
    run("e2fsck", ["-fn", userdata]);
    run("e2fsck", ["-fn", image]);
  });
}

test("a device is waited for, some seconds", async (t) => {
  if (skipped(t)) return;
  const tries = (after: number) =>
    `#!/bin/sh\nread -r n </run/tries 2>/dev/null\necho $((n + 1)) >/run/tries\n[ "\${n:-0}" -ge ${after} ] && exec /bin/busybox findfs "$@"\nexit 1\n`;
  for (const [after, there] of [
    [4, true],
    [40, false],
  ] as const) {
    const { boot } = await device(t, {
      shell: "dash",
      root: (tree) => {
        WAIT_NOT.root(tree);
        put(tree, "usr/sbin/findfs", tries(after), 0o755);
      },
    });
    const sys = plugged(stick(t));
    boot("overlayctl storage use /dev/stick", { sys });
    const printed = boot("cat /run/tries; grep -c /run/imgbuild/internal /proc/mounts || true", { sys });
    if (there) assert.equal(printed, "5\n1\n");
    else assert.match(printed, /it is not there; the internal one is used\n11\n0\n$/);
  }
});

test("a device of another unit is not taken, neither by choice nor at a boot", async (t) => {
  if (skipped(t)) return;
  const [one, two] = [await device(t, WAIT_NOT), await device(t, WAIT_NOT)];
  const image = stick(t);
  const sys = plugged(image);
  one.boot("overlayctl storage use /dev/stick", { sys });
  one.boot("echo x >/home/root/x", { sys });
  assert.match(
    two.boot("overlayctl storage use /dev/stick 2>&1 || ls /userdata", { sys }),
    /stick belongs to another unit; .*\nlost\+found\noverlay\n$/,
  );
  // The other unit's own stick, with the same UUID.
  const own = stick(t);
  two.boot("overlayctl storage use /dev/stick", { sys: plugged(own) });
  const refused =
    /^imgbuild: degraded: UserData is to be on .*, but it belongs to another unit; the internal one is used\n/;
  assert.match(two.boot(`${SEE} || true`, { sys }), refused);
  assert.match(two.boot(`${SEE} || true`, { sys: plugged(stick(t)) }), refused);
  assert.equal(run("debugfs", ["-R", "cat /overlay/home-root/upper/x", image]), "x\n");
  // A unit that was flashed anew knows of no device.
  fs.copyFileSync((await device(t)).userdata, one.userdata);
  assert.equal(one.boot(`${SEE} || true`, { sys }), "changed\ndeleted\nkept\n0\n");
});

test("what a cut left half-written goes at the next boot, on the internal one and on the device, but not on that of another unit", async (t) => {
  if (skipped(t)) return;
  const [one, two] = [await device(t, WAIT_NOT), await device(t, WAIT_NOT)];
  const image = stick(t);
  const leave = (file: string, ...names: string[]) => {
    for (const name of names) run("debugfs", ["-w", "-R", `mkdir /${name}+new`, file]);
  };
  const see = "cd /userdata; ls; cd /run/imgbuild/internal && ls";
  one.boot("overlayctl storage use /dev/stick", { sys: plugged(image) });
  leave(one.userdata, "storage", "import", "request");
  leave(image, "overlay", "imgbuild-storage", "import", "factory-reset");
  assert.equal(
    one.boot(see, { sys: plugged(image) }),
    "imgbuild-storage\nlost+found\noverlay\nlost+found\noverlay\nstorage\n",
  );
  two.boot("overlayctl storage use /dev/stick", { sys: plugged(stick(t)) });
  leave(image, "overlay");
  two.boot(":", { sys: plugged(image) });
  assert.match(run("debugfs", ["-R", "ls /", image]), /overlay\+new/);
});

test("what cannot be used is refused", async (t) => {
  if (skipped(t)) return;
  const { boot, userdata } = await device(t);
  const image = stick(t);
  const refusal = (command: string, sys = plugged(image)) =>
    boot(`overlayctl storage ${command} 2>&1; echo $?`, { sys });
  assert.match(refusal("use"), /needs a device.*\n.*\n2\n/);
  assert.match(refusal("other"), /there is no overlayctl storage other\n.*\n2\n/);
  assert.match(refusal("use /dev/nothing"), /\/dev\/nothing is no device\n1\n/);
  assert.match(refusal("use /dev/data"), /is mounted|has the UUID of the internal/);
  assert.match(refusal("use /dev/stick --copy"), /needs the cp of coreutils/);
  fs.copyFileSync(userdata, image);
  assert.match(
    refusal("use /dev/stick"),
    /has the UUID of the internal UserData; .*tune2fs -U random \/dev\/stick\n1\n/,
  );
  fs.writeFileSync(image, Buffer.alloc(2 ** 20));
  assert.match(refusal("use /dev/stick"), /has no ext4; .* erased, by: mkfs.ext4 \/dev\/stick\n1\n/);
  // Of the disk that the system is on nothing is to be formatted: BootFS, say.
  const onItsDisk = `
    mkdir -p sys/class/block
    ln -s ../../devices/disk/p3 sys/class/block/data
    ln -s ../../devices/disk/p2 sys/class/block/stick`;
  assert.match(
    refusal("use /dev/stick", plugged(image) + onItsDisk),
    /is on the disk that this system is on: name another/,
  );
});

async function withCopy(t: TestContext): Promise<Device> {
  const made = await device(t, {
    shell: "dash",
    cuttable: true,
    programs: ["cp"],
    root: (tree) => {
      WAIT_NOT.root(tree);
      put(tree, "usr/sbin/cp", shim("cp", "/usr/libexec/cp"), 0o755);
      put(tree, "home/root/folder/shipped", "shipped\n");
    },
  });
  made.boot(
    "cd /home/root; echo mine >mine; rm kept; rm -r folder; mkdir folder; echo own >folder/own; overlayctl snapshot s",
  );
  made.boot("echo later >/home/root/later");
  return made;
}

test("what was written goes along, deleted and opaque folders too; the power may fail", async (t) => {
  if (skipped(t) || lacks(t, "perl")) return;
  const { boot, userdata } = await withCopy(t);
  const image = stick(t);
  const sys = plugged(image);
  const all =
    "cd /home/root; find . | sort; cat /run/imgbuild/degraded 2>/dev/null; grep -c /run/imgbuild/internal /proc/mounts";
  const before = boot(`${all} || true`, { sys }).replace("0\n", "1\n");
  assert.match(before, /\.\/folder\n\.\/folder\/own\n\.\/later\n/);
  boot("overlayctl storage use /dev/stick --copy", { sys });
  const [internal, external] = [`${userdata}.saved`, `${image}.saved`];
  fs.copyFileSync(userdata, internal);
  fs.copyFileSync(image, external);
  let cuts = 0;
  for (let cutAt = 1; ; cutAt += STEP) {
    fs.copyFileSync(internal, userdata);
    fs.copyFileSync(external, image);
    const end = boot("echo done >/dev/power", { sys, cutAt }).trimEnd();
    if (end.endsWith("done")) break;
    cuts++;
    assert.equal(boot(all, { sys }), before, `cut before program ${cutAt}`);
    for (const file of [userdata, image]) run("e2fsck", ["-fn", file]);
  }
  assert.ok(cuts * STEP > 12, `${cuts}`);
  await mounted(image, { type: "ext4" }, (folder) => {
    assert.deepEqual(fs.readdirSync(folder).sort(), ["imgbuild-storage", "lost+found", "overlay"]);
  });
});

/** Whether what the commands have done when they end is on the disk: which UserData the boot after a power cut has. */
function changesOver({ boot }: Device, sys: string): readonly string[] {
  const cut = "; echo cut >/dev/power; while :; do sleep 9; done";
  return ["overlayctl storage use /dev/stick", "overlayctl storage release"].map((command) => {
    boot(`${command}${cut}`, { sys, cutAt: 1_000_000 });
    return boot("ls /userdata | grep storage", { sys });
  });
}

test("which device it is to be is on the disk when overlayctl ends: a mistake there is found", async (t) => {
  if (skipped(t) || lacks(t, "perl")) return;
  const options = { ...WAIT_NOT, shell: "dash", cuttable: true } as const;
  const [there, back] = ["imgbuild-storage\n", "storage\n"];
  assert.deepEqual(changesOver(await device(t, options), plugged(stick(t))), [there, back]);
  // On the internal one, which is not in use when it is released.
  const mutation = {
    script: "usr/lib/imgbuild/storages.sh",
    from: '"$1/storage" && flush "$1"',
    to: '"$1/storage" && { [ "$1" = "$mount" ] && flush "$1" || :; }',
  };
  const [mistaken, sys] = [await device(t, { ...options, mutation }), plugged(stick(t))];
  assert.ok(oneOf(TRIES, () => changesOver(mistaken, sys)[1] === there));
});

test("a saved imgbuild_reset is done once for the unit, on the device that is in use then", async (t) => {
  if (skipped(t)) return;
  const { boot, userdata } = await withCopy(t);
  const image = stick(t);
  const sys = plugged(image);
  const once = (token: number) => ({ sys, arguments: `imgbuild.resetonce=all:${token}` });
  const see = "cd /home/root; cat mine 2>/dev/null; ls /userdata; echo mine >mine";
  const [internal, external] = [
    "lost+found\noverlay\nreset-once\nstorage\n",
    "imgbuild-storage\nlost+found\noverlay\n",
  ];
  boot(":", once(1));
  boot("echo mine >/home/root/mine; overlayctl storage use /dev/stick --copy", once(1));
  assert.equal(boot(see, once(1)), `mine\n${external}`);
  assert.equal(boot(see, once(2)), external);
  assert.equal(boot(`${see}; overlayctl storage release >/dev/null`, once(2)), `mine\n${external}`);
  assert.equal(boot(`${see}; overlayctl storage use /dev/stick >/dev/null`, once(2)), `mine\n${internal}`);
  // From earlier use, and not copied to.
  const fill = "cd /run/imgbuild/internal; i=0; while true >$i; do i=$((i + 1)); done 2>/dev/null; true";
  assert.equal(boot(`${see}; ${fill}`, once(2)), `mine\n${external}`);
  const refused = "the internal UserData cannot be written: no reset for imgbuild.resetonce=all:3\n";
  assert.equal(boot(`${see}; cat /run/imgbuild/refused`, once(3)), `imgbuild: ${refused}mine\n${external}${refused}`);
  assert.equal(run("debugfs", ["-R", "cat /reset-once", userdata]), "all:2\n");
});

test("without room for a copy the internal one stays", async (t) => {
  if (skipped(t)) return;
  const { boot } = await withCopy(t);
  const sys = plugged(stick(t, "-N", "16"));
  boot("overlayctl storage use /dev/stick --copy", { sys });
  assert.match(
    boot("cat /home/root/mine; ls /userdata", { sys }),
    /cannot be copied to it; the internal one is used\nmine\n/,
  );
});
