/** Layers over the root that come from elsewhere: SquashFS files on UserData, other partitions. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { type LayerSource, parseLayerSource } from "../../src/overlay/index.js";
import type { Tree } from "../../src/tree/tree.js";
import { lacks, lacksRoot, mounted, run, temporaryFolder } from "../support/tools.js";
import { device, put, type Shell, TOOLS } from "./device.js";

const SHELLS: readonly Shell[] = ["busybox", "dash"];
const skipped = (t: TestContext) => lacks(t, ...TOOLS, "mksquashfs", "mke2fs") || lacksRoot(t);
const BASE = "/home/root";
const onUserdata = (file: string): LayerSource => ({ kind: "userdata", file });

/** A SquashFS of some files, by mksquashfs. */
function squashfs(t: TestContext, files: Record<string, string>): string {
  const folder = temporaryFolder(t);
  const content = path.join(folder, "content");
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(content, name)), { recursive: true });
    fs.writeFileSync(path.join(content, name), text);
  }
  const image = path.join(folder, "layer.squashfs");
  run("mksquashfs", [content, image, "-quiet", "-no-progress", "-all-root"]);
  return image;
}

/** Puts a file onto UserData as an update does: beside it, and then by a rename. */
const install = (userdata: string, file: string, as: string) =>
  mounted(userdata, { type: "ext4", writable: true }, (folder) => {
    fs.mkdirSync(path.dirname(path.join(folder, as)), { recursive: true });
    fs.copyFileSync(file, path.join(folder, `${as}.new`));
    fs.renameSync(path.join(folder, `${as}.new`), path.join(folder, as));
  });

const STATE = "cat /run/imgbuild/degraded 2>/dev/null || echo whole";

for (const shell of SHELLS) {
  test(`layers lie over the root in the order of the profile, and below what is written, by ${shell}`, async (t) => {
    if (skipped(t)) return;
    const { boot, userdata } = await device(t, {
      shell,
      layers: [
        { path: BASE, from: onUserdata("apps/one.squashfs") },
        { path: BASE, from: onUserdata("two.squashfs") },
      ],
    });
    await install(userdata, squashfs(t, { app: "one\n", shared: "one\n", kept: "one\n" }), "apps/one.squashfs");
    await install(userdata, squashfs(t, { shared: "two\n", "sub/file": "two\n" }), "two.squashfs");
    const see = `${STATE}; cd ${BASE}; for f in $(find . -type f | sort); do echo $f $(cat $f); done`;
    const first = "whole\n./app one\n./changed shipped\n./deleted shipped\n./kept one\n./shared two\n./sub/file two\n";
    assert.equal(boot(`${see}; overlayctl diff; rm app; echo mine >shared; echo x >x; sync`), first);
    const second = "whole\n./changed shipped\n./deleted shipped\n./kept one\n./shared mine\n./sub/file two\n./x x\n";
    assert.equal(
      boot(`${see}; overlayctl diff; overlayctl snapshot s`),
      `${second}M ${BASE}/shared\nA ${BASE}/x\nD ${BASE}/app\nIt is done at the next boot.\n`,
    );

    // Another version of a layer: what it has shows at the next boot, but where something was written.
    await install(userdata, squashfs(t, { shared: "three\n", app: "three\n", "sub/file": "three\n" }), "two.squashfs");
    const third = second.replace("file two", "file three");
    assert.equal(boot(see), third);
    assert.equal(boot(`overlayctl export s | tar -xO -f - ./home-root/deleted; overlayctl reset >/dev/null`), "/app\n");
    assert.equal(
      boot(`cat ${BASE}/shared ${BASE}/app; overlayctl status | tail -2`),
      `three\nthree\nLayer over the root for ${BASE}: userdata apps/one.squashfs\nLayer over the root for ${BASE}: userdata two.squashfs\n`,
    );
  });
}

test("a refresh that a request brings forward looks at the layers, too", async (t) => {
  if (skipped(t)) return;
  const { boot, userdata, flash } = await device(t, {
    newRoot: "refresh",
    layers: ["app.squashfs", "absent.squashfs"].map((name) => ({ path: BASE, from: onUserdata(name) })),
  });
  // As the root has them: what a layer has otherwise must not show for it.
  boot(`cd ${BASE}; touch changed kept; sync`);
  await install(userdata, squashfs(t, { changed: "layer\n" }), "app.squashfs");
  boot("overlayctl snapshot s");
  await flash((tree) => {
    put(tree, "home/root/changed", "shipped later\n");
    put(tree, "home/root/kept", "kept later\n");
  });
  assert.equal(
    boot(`cat ${BASE}/changed ${BASE}/kept; ${STATE}; grep -c " /run/imgbuild/layers/" /proc/mounts`),
    `imgbuild: degraded: the layer from absent.squashfs is missing or broken; it is left out
shipped
kept later
the layer from absent.squashfs is missing or broken; it is left out
1
`,
  );
});

test("a layer that is missing or broken is left out, and said to be", async (t) => {
  if (skipped(t)) return;
  const { boot, userdata } = await device(t, {
    layers: ["broken.squashfs", "absent.squashfs", "good.squashfs"].map((name) => ({
      path: BASE,
      from: onUserdata(name),
    })),
  });
  const good = squashfs(t, { good: "good\n" });
  await install(userdata, good, "good.squashfs");
  const broken = `${good}.broken`;
  fs.writeFileSync(broken, fs.readFileSync(good).fill(0xa5, 0, 64));
  await install(userdata, broken, "broken.squashfs");
  const printed = boot(`${STATE}; cat ${BASE}/good ${BASE}/kept; echo x >${BASE}/x; overlayctl status --json`);
  const said = ["broken", "absent"].map(
    (name) => `the layer from ${name}.squashfs is missing or broken; it is left out`,
  );
  assert.equal(
    printed.slice(0, printed.indexOf("{")),
    `${said.map((text) => `imgbuild: degraded: ${text}\n`).join("")}${said.join("\n")}\ngood\nkept\n`,
  );
  const { layers } = JSON.parse(printed.slice(printed.indexOf("{"))) as { layers: unknown };
  assert.deepEqual(
    layers,
    ["broken", "absent", "good"].map((name) => ({
      overlay: "home-root",
      from: `userdata ${name}.squashfs`,
      mounted: name === "good",
    })),
  );
  fs.writeFileSync(userdata, Buffer.alloc(8 * 2 ** 20));
  assert.match(boot(`cat ${BASE}/kept; echo x >${BASE}/x && echo in memory`), /\nkept\nin memory\n$/);
});

test("a folder without an overlay has its layers read-only; and the whole root has layers", async (t) => {
  if (skipped(t)) return;
  const application = squashfs(t, { "bin/app": "app\n" });
  const one = await device(t, { layers: [{ path: "/opt/app", from: onUserdata("app.squashfs") }] });
  assert.match(one.boot("ls /opt/app; touch /opt/app/x 2>/dev/null || echo read-only"), /left out\nread-only\n$/);
  await install(one.userdata, application, "app.squashfs");
  assert.equal(one.boot("cat /opt/app/bin/app; touch /opt/app/x 2>/dev/null || echo read-only"), "app\nread-only\n");
  assert.match(one.boot("overlayctl status"), /\nLayer over the root for \/opt\/app: userdata app.squashfs\n$/);

  const whole = await device(t, { paths: ["/"], layers: [{ path: "/", from: onUserdata("app.squashfs") }] });
  await install(whole.userdata, squashfs(t, { "opt/app": "app\n", "home/root/kept": "layer\n" }), "app.squashfs");
  assert.equal(
    whole.boot(`${STATE}; cat /opt/app ${BASE}/kept /rom${BASE}/kept; rm /opt/app`),
    "whole\napp\nlayer\nkept\n",
  );
  assert.equal(whole.boot("overlayctl diff; ls /opt"), "D /opt/app\n");
});

test("a layer may be a partition, of the root's disk or as mount finds it, squashfs or ext4", async (t) => {
  if (skipped(t)) return;
  const apps = squashfs(t, { app: "squashfs\n" });
  const ext4 = `${apps}.ext4`;
  const content = temporaryFolder(t);
  fs.writeFileSync(path.join(content, "more"), "ext4\n");
  run("mke2fs", ["-q", "-t", "ext4", "-L", "applayer", "-d", content, ext4, "4M"]);
  const { boot } = await device(t, {
    layers: [
      { path: BASE, from: { kind: "partition", number: 5 } },
      { path: BASE, from: { kind: "device", specification: "LABEL=applayer" } },
    ],
  });
  const sys = `
    mkdir -p sys/devices/disk/p5
    echo 5 >sys/devices/disk/p5/partition
    printf 'DEVNAME=apps\\n' >sys/devices/disk/p5/uevent
    apps=$(losetup --find --show ${apps}) more=$(losetup --find --show ${ext4})
    trap 'losetup --detach $loop; losetup --detach $apps; losetup --detach $more' EXIT
    cp -a $apps dev/apps
    cp -a $more dev/`;
  assert.equal(boot(`${STATE}; cd ${BASE}; cat app more kept`, { sys }), "whole\nsquashfs\next4\nkept\n");
  assert.match(boot(`cat ${BASE}/kept`), /from 5 is missing or broken.*\n.*from LABEL=applayer is missing.*\nkept\n$/);
});

test("a refresh leaves what a layer has a version of", async (t) => {
  if (skipped(t)) return;
  const files = (text: string) => (tree: Tree) => {
    for (const name of ["one", "two"]) put(tree, `home/root/${name}`, text);
  };
  const { boot, userdata, flash } = await device(t, {
    newRoot: "refresh",
    root: files("shipped\n"),
    layers: [{ path: BASE, from: onUserdata("app.squashfs") }],
  });
  boot("true");
  await install(userdata, squashfs(t, { two: "layer\n" }), "app.squashfs");
  boot(`cd ${BASE}; touch one; echo shipped >two; sync`);
  await flash(files("shipped later\n"));
  assert.equal(boot(`cd ${BASE}; cat one two`), "shipped later\nshipped\n");
});

test("where a layer may come from", () => {
  const parse = (text: string) =>
    parseLayerSource(text, (name) => {
      assert.equal(name, "apps");
      return 4;
    });
  assert.deepEqual(parse("userdata:apps/app.squashfs"), { kind: "userdata", file: "apps/app.squashfs" });
  assert.deepEqual(parse("partition:apps"), { kind: "partition", number: 4 });
  assert.deepEqual(parse("UUID=1234-5678"), { kind: "device", specification: "UUID=1234-5678" });
  for (const text of [
    "",
    "apps",
    "userdata:",
    "userdata:/etc",
    "userdata:a/../b",
    "userdata:a b",
    "LABEL=",
    "LABEL=a b",
    "partition:",
  ]) {
    assert.throws(() => parse(text), /a layer cannot come from/, text);
  }
});
