/** The scripts that bring the demonstration's parts, offline: against a package archive that the test makes. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { type TestContext, test } from "node:test";
import { lacks, run, temporaryFolder } from "../support/tools.js";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const FETCH = `${ROOT}/scripts/fetch-debian-parts.sh`;
const MAKE = `${ROOT}/scripts/make-demo-rootfs.sh`;

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** Everything in a folder, as sorted relative names. */
const list = (folder: string) => run("find", [folder, "-mindepth", "1", "-printf", "%P\n"]).split("\n").sort().slice(1);

test("shellcheck has nothing to say", (t) => {
  if (lacks(t, "shellcheck")) return;
  const names = fs.readdirSync(`${ROOT}/scripts`).filter((name) => name.endsWith(".sh"));
  const scripts = names.map((name) => `${ROOT}/scripts/${name}`);
  assert.ok(scripts.length > 0);
  const guests = [
    "demo/rootfs/etc/init.d/rcS",
    "demo/rootfs/etc/init.d/rcK",
    "powercut/sbin/gate",
    "powercut/sbin/init",
  ];
  run("shellcheck", [...scripts, ...guests.map((name) => `${ROOT}/fixtures/${name}`)]);
});

/** A package archive in a folder, and the configuration with which apt has it as its only source. */
class Archive {
  readonly #folder: string;
  readonly env: Record<string, string>;
  #index = "";

  constructor(folder: string) {
    this.#folder = folder;
    write(`${folder}/sources.list`, `deb [trusted=yes] file:${folder} ./\n`);
    write(
      `${folder}/apt.conf`,
      `Dir::Etc::SourceList "${folder}/sources.list"; Dir::Etc::SourceParts "/dev/null"; Dir::Etc::Parts "/dev/null";`,
    );
    this.env = { APT_CONFIG: `${folder}/apt.conf` };
  }

  add(name: string, files: Record<string, string>, depends?: string): void {
    const control = `Package: ${name}\nVersion: 1\nArchitecture: armhf\nMaintainer: nobody <nobody@example.org>\n${
      depends === undefined ? "" : `Depends: ${depends}\n`
    }Description: a part\n`;
    const tree = `${this.#folder}/${name}`;
    write(`${tree}/DEBIAN/control`, control);
    for (const [file, text] of Object.entries(files)) write(`${tree}/${file}`, text);
    const deb = `${this.#folder}/${name}.deb`;
    run("dpkg-deb", ["--root-owner-group", "--build", tree, deb]);
    const bytes = fs.readFileSync(deb);
    const hash = createHash("sha256").update(bytes).digest("hex");
    this.#index += `${control}Filename: ./${name}.deb\nSize: ${bytes.length}\nSHA256: ${hash}\n\n`;
    write(`${this.#folder}/Packages`, this.#index);
  }
}

function archive(t: TestContext): { archive: Archive; dest: string } {
  const folder = temporaryFolder(t);
  const made = new Archive(`${folder}/archive`);
  made.add("linux-image-armmp", {}, "linux-image-6.1.0-9-armmp (= 1)");
  made.add("linux-image-6.1.0-9-armmp", { "boot/vmlinuz-6.1.0-9-armmp": "kernel" });
  made.add("busybox-static", { "bin/busybox": "busybox" });
  return { archive: made, dest: `${folder}/cache/armhf` };
}

test("packages of another architecture are unpacked, a kernel by its meta-package, and nothing else is left", (t) => {
  if (lacks(t, "apt-get", "dpkg-deb")) return;
  const { archive: parts, dest } = archive(t);
  run(FETCH, ["armhf", dest, "linux-image-armmp", "busybox-static"], { env: parts.env });
  assert.deepEqual(list(dest), [".packages", "bin", "bin/busybox", "boot", "boot/vmlinuz-6.1.0-9-armmp"]);
  assert.deepEqual(fs.readdirSync(path.dirname(dest)), ["armhf"]);
});

test("with what they depend on, where that is asked for; what was fetched without it does not do", (t) => {
  if (lacks(t, "apt-get", "dpkg-deb")) return;
  const { archive: parts, dest } = archive(t);
  parts.add("init", { "sbin/init": "init" }, "library");
  parts.add("library", { "lib/library.so": "library" });
  run(FETCH, ["armhf", dest, "init"], { env: parts.env });
  assert.deepEqual(list(dest), [".packages", "sbin", "sbin/init"]);
  run(FETCH, ["--with-dependencies", "armhf", dest, "init"], { env: parts.env });
  assert.deepEqual(list(dest), [".packages", "lib", "lib/library.so", "sbin", "sbin/init"]);
});

test("what is there already is not fetched again", (t) => {
  if (lacks(t, "apt-get", "dpkg-deb")) return;
  const { archive: parts, dest } = archive(t);
  run(FETCH, ["armhf", dest, "busybox-static"], { env: parts.env });
  const { ino } = fs.statSync(`${dest}/bin/busybox`);
  fs.rmSync(`${path.dirname(dest)}/../archive`, { recursive: true });
  run(FETCH, ["armhf", dest, "busybox-static"], { env: parts.env });
  assert.equal(fs.statSync(`${dest}/bin/busybox`).ino, ino);
});

test("another request takes the place of what is there", (t) => {
  if (lacks(t, "apt-get", "dpkg-deb")) return;
  const { archive: parts, dest } = archive(t);
  run(FETCH, ["armhf", dest, "busybox-static"], { env: parts.env });
  run(FETCH, ["armhf", dest, "linux-image-armmp"], { env: parts.env });
  assert.deepEqual(list(dest), [".packages", "boot", "boot/vmlinuz-6.1.0-9-armmp"]);
});

test("a package that is not to be had leaves nothing at the destination, and the next run starts clean", (t) => {
  if (lacks(t, "apt-get", "dpkg-deb")) return;
  const { archive: parts, dest } = archive(t);
  assert.throws(
    () => run(FETCH, ["armhf", dest, "busybox-static", "u-boot-imx"], { env: parts.env }),
    /no u-boot-imx for armhf in this host's apt sources/,
  );
  assert.ok(!fs.existsSync(dest));
  parts.add("u-boot-imx", { "usr/lib/u-boot/colibri_imx6/SPL": "spl" });
  run(FETCH, ["armhf", dest, "u-boot-imx"], { env: parts.env });
  assert.ok(fs.existsSync(`${dest}/usr/lib/u-boot/colibri_imx6/SPL`));
  assert.ok(!fs.existsSync(`${dest}/bin`), "what the failed run had fetched is not in it");
  assert.deepEqual(fs.readdirSync(path.dirname(dest)), ["armhf"]);
});

/** Debian 12 has its modules in /lib and BusyBox in /bin; in Debian 13 both moved to /usr, and the modules are compressed. */
const RELEASES = {
  "Debian 12": { prefix: "", module: "fs/squashfs/squashfs.ko", version: "6.1.0-9-armmp" },
  "Debian 13": { prefix: "usr/", module: "fs/squashfs/squashfs.ko.xz", version: "6.12.9+deb13-armmp" },
};

for (const [release, { prefix, module, version }] of Object.entries(RELEASES)) {
  test(`a root file system of ${release}'s parts`, (t) => {
    const folder = temporaryFolder(t);
    const parts = `${folder}/parts`;
    const modules = `lib/modules/${version}`;
    for (const name of [
      `${prefix}bin/busybox`,
      `boot/vmlinuz-${version}`,
      `boot/config-${version}`,
      `${prefix}${modules}/modules.builtin`,
      `${prefix}${modules}/kernel/${module}`,
      `${prefix}${modules}/kernel/drivers/gpu/drm/drm.ko`,
      `usr/lib/linux-image-${version}/board.dtb`,
      `usr/lib/linux-image-${version}/other.dtb`,
    ]) {
      write(`${parts}/${name}`, name);
    }
    write(`${parts}/.packages`, "armhf linux-image-armmp\n");
    run(MAKE, [parts, `${folder}/demo`, "board*.dtb"]);
    assert.deepEqual(list(`${folder}/demo/boot`), ["board.dtb", `config-${version}`, "zImage"]);
    const root = `${folder}/demo/rootfs`;
    assert.deepEqual(
      list(`${root}/${modules}`).filter((name) => name.includes(".")),
      [`kernel/${module}`, "modules.builtin"],
    );

    assert.equal(fs.statSync(`${root}/sbin/init`).ino, fs.statSync(`${root}/bin/busybox`).ino);
    assert.equal(fs.readlinkSync(`${root}/bin/ls`), "/bin/busybox");
    assert.equal(fs.readlinkSync(`${root}/bin/su`), "/bin/busybox.suid");
    assert.equal(fs.statSync(`${root}/etc/init.d/rcS`).mode & 0o777, 0o755);

    const device = fs.readFileSync(`${ROOT}/fixtures/demo/devices.txt`, "utf8").match(/^\/\S+ +[df] /gm)!;
    for (const line of device) {
      const [name, type] = line.split(/ +/);
      const status = fs.statSync(`${root}${name}`);
      assert.ok(type === "d" ? status.isDirectory() : status.isFile(), `${name} of the device table is not there`);
    }

    const times = new Set(
      run("find", [`${folder}/demo`, "-printf", "%T@\n"])
        .split("\n")
        .filter(Boolean),
    );
    assert.equal(times.size, 1, "everything has the kernel's time");
  });
}

test("parts that are not complete are named, and nothing is left half made", (t) => {
  const folder = temporaryFolder(t);
  write(`${folder}/parts/bin/busybox`, "busybox");
  assert.throws(() => run(MAKE, [`${folder}/parts`, `${folder}/demo`]), /none of .*lib\/modules/);
  assert.ok(!fs.existsSync(`${folder}/demo`));
});
