/**
 * The boot script, run by a POSIX shell in which U-Boot's commands are functions: hush is a subset of it. The tests that
 * boot run it in U-Boot itself.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { type BootScript, bootScript } from "../../src/uboot/index.js";
import { lacks, run } from "../support/tools.js";

const COMMANDS = `
setenv() { name=$1; shift; eval "$name=\\$*"; }
load() {
  echo "load $*"
  case " $FILES " in *" $4 "*) filesize=1f4; return 0 ;; esac
  return 1
}
part() { [ "$3" != "\${3%:[1-3]}" ] && eval "$4=1234abcd-0\${3#*:}"; }
unzip() { echo "unzip $*"; }
bootz() { echo "bootz $*"; }
booti() { echo "booti $*"; }
zboot() { echo "zboot $*"; }
`;

const BOARD = { devtype: "mmc", devnum: "0", distro_bootpart: "1", kernel_addr_r: "K", ramdisk_addr_r: "R" };
const COLIBRI = {
  ...BOARD,
  fdt_addr_r: "F",
  fdtfile: "imx6dl-colibri-eval-v3.dtb",
  console: "ttymxc0",
  baudrate: "115200",
};
const VIRT = { ...BOARD, devtype: "virtio", fdt_addr: "40000000" };

const IMX6: BootScript = {
  kernel: { file: "zImage", command: "bootz" },
  deviceTree: { defaultFile: "imx6dl-colibri-iris.dtb" },
  initramfs: "initramfs.img",
  rootPartition: 2,
  arguments: ["ro", "rootwait", "rootfstype=squashfs"],
  console: "ttymxc0",
};
const IMX8: BootScript = {
  ...IMX6,
  kernel: { file: "Image.gz", command: "booti", compressed: true },
  console: "ttyLP3",
};

/** What the commands were called with, and what was printed, when the boot partition holds `files`. */
function boot(t: TestContext, script: BootScript, environment: Record<string, string>, ...files: string[]): string[] {
  if (lacks(t, "sh")) return [];
  const values = Object.entries({ ...environment, FILES: files.join(" ") }).map(
    ([name, value]) => `${name}='${value}'`,
  );
  const text = [...values, COMMANDS, bootScript(script)].join("\n");
  return run("sh", ["-s"], { input: Buffer.from(text) })
    .trimEnd()
    .split("\n");
}

const BOOTARGS = "root=PARTUUID=1234abcd-02 ro rootwait rootfstype=squashfs console=ttymxc0,115200";

test("an i.MX6 board loads kernel, device tree and initramfs, and boots", (t) => {
  assert.deepEqual(boot(t, IMX6, COLIBRI, "zImage", "imx6dl-colibri-eval-v3.dtb", "initramfs.img"), [
    "load mmc 0:1 K zImage",
    "load mmc 0:1 F imx6dl-colibri-eval-v3.dtb",
    "load mmc 0:1 R initramfs.img",
    `Booting with ${BOOTARGS}  `,
    "bootz K R:1f4 F",
    "bootz could not start zImage",
  ]);
});

test("without an initramfs there is none; environment and profile fill in for each other", (t) => {
  const { initramfs: _, ...plain } = IMX6;
  const bare = { kernel_addr_r: "K", fdt_addr_r: "F" };
  assert.deepEqual(boot(t, plain, bare, "zImage", "imx6dl-colibri-iris.dtb").slice(1, -1), [
    "load mmc 0:1 F imx6dl-colibri-iris.dtb",
    `Booting with ${BOOTARGS.replace(",115200", "")}  `,
    "bootz K - F",
  ]);
  const more = { ...COLIBRI, root_part: "3", baudrate: "9600", tdxargs: "quiet", bootargs_extra: "a b" };
  assert.ok(
    boot(t, plain, more, "zImage", "imx6dl-colibri-eval-v3.dtb").includes(
      "Booting with root=PARTUUID=1234abcd-03 ro rootwait rootfstype=squashfs console=ttymxc0,9600 quiet a b",
    ),
  );
});

test("a factory reset that U-Boot's environment asks for is passed on", (t) => {
  const said = boot(t, IMX6, { ...VIRT, imgbuild_reset: "/etc,/var:2" }, "zImage", "initramfs.img");
  assert.ok(
    said.includes(`Booting with ${BOOTARGS.replace(",115200", "")}   imgbuild.resetonce=/etc,/var:2`),
    `${said}`,
  );
});

test("a device tree that is not there gives way to the profile's", (t) => {
  const script = { ...IMX6, deviceTree: { defaultFile: "dtbs/imx6dl-colibri-iris.dtb" } };
  const said = boot(t, script, COLIBRI, "zImage", "dtbs/imx6dl-colibri-iris.dtb", "initramfs.img");
  assert.ok(said.includes("imx6dl-colibri-eval-v3.dtb is not there, trying dtbs/imx6dl-colibri-iris.dtb"));
  assert.ok(said.includes("bootz K R:1f4 F"));
});

test("where U-Boot has no place for a device tree, the firmware's is taken", (t) => {
  assert.ok(boot(t, IMX6, VIRT, "zImage", "initramfs.img").includes("bootz K R:1f4 40000000"));
  const { deviceTree: _, ...none } = IMX6;
  assert.ok(boot(t, none, { ...COLIBRI, fdtcontroladdr: "C" }, "zImage", "initramfs.img").includes("bootz K R:1f4 C"));
});

test("booti unpacks a kernel where it has room to; elsewhere the script does, before the ramdisk is loaded", (t) => {
  const files = ["Image.gz", "imx6dl-colibri-eval-v3.dtb", "initramfs.img"];
  const board = boot(t, IMX8, { ...COLIBRI, kernel_comp_addr_r: "C", kernel_comp_size: "8000000" }, ...files);
  assert.equal(board[0], "load mmc 0:1 K Image.gz");
  assert.ok(!board.some((line) => line.startsWith("unzip")));
  assert.ok(board.includes("booti K R:1f4 F"));
  assert.deepEqual(boot(t, IMX8, VIRT, ...files).slice(0, 3), [
    "load virtio 0:1 R Image.gz",
    "unzip R K",
    "load virtio 0:1 R initramfs.img",
  ]);
  const unpacked = { ...IMX8, kernel: { file: "Image", command: "booti", compressed: false } as const };
  assert.equal(boot(t, unpacked, VIRT, "Image")[0], "load virtio 0:1 K Image");
});

test("a PC's kernel gets no device tree, and its ramdisk lies beyond what it unpacks itself to", (t) => {
  const { deviceTree: _, ...pc } = {
    ...IMX6,
    kernel: { file: "bzImage", command: "zboot" } as const,
    console: "ttyS0",
  };
  assert.deepEqual(boot(t, pc, { ...VIRT, fdtcontroladdr: "C" }, "bzImage", "initramfs.img"), [
    "load virtio 0:1 K bzImage",
    "load virtio 0:1 8000000 initramfs.img",
    `Booting with ${BOOTARGS.replace("ttymxc0,115200", "ttyS0")}  `,
    "zboot K 0 8000000 1f4",
    "zboot could not start bzImage",
  ]);
  const { initramfs: __, ...bare } = pc;
  assert.ok(boot(t, bare, VIRT, "bzImage").includes("zboot K 0"));
  assert.ok(boot(t, pc, VIRT, "bzImage").at(-1)!.endsWith("Missing: initramfs.img"));
});

test("U-Boot counts partitions in hexadecimal", () => {
  assert.match(bootScript({ ...IMX6, rootPartition: 12 }), /setenv root_part c\n/);
});

test("all that is missing is said, and nothing is booted", (t) => {
  for (const script of [IMX6, IMX8]) {
    const said = boot(t, script, { ...COLIBRI, root_part: "7" });
    assert.equal(
      said.at(-1),
      `Cannot boot from mmc 0:1. Missing: partition-7 ${script.kernel.file} imx6dl-colibri-iris.dtb initramfs.img`,
    );
    assert.ok(!said.some((line) => /^boot[zi] |^Booting/.test(line)));
  }
});

test("what hush would take for something else is refused", () => {
  for (const argument of ['a="b c"', "$x", "a\\b", "`x`", "a;b", "zwölf", "two\nlines"]) {
    assert.throws(() => bootScript({ ...IMX6, arguments: [argument] }), { code: "not-representable" });
  }
  const names = [
    "my initramfs",
    "",
    "-x",
    "zwölf",
    "new\nline",
    "C:x",
    ...[..."&|#<>()*?[]~!=;$`'\"\\{}^%"].map((c) => `a${c}b`),
  ];
  for (const name of names) {
    const refused = { code: "not-representable", data: { text: name } };
    assert.throws(() => bootScript({ ...IMX6, initramfs: name }), refused, name);
    assert.throws(() => bootScript({ ...IMX6, deviceTree: { defaultFile: name } }), refused, name);
    assert.throws(() => bootScript({ ...IMX6, kernel: { file: name, command: "bootz" } }), refused, name);
  }
  const odd = "vendor,board@1+new_2.dtb";
  assert.match(bootScript({ ...IMX6, initramfs: `a-b/${odd}` }), /load .* a-b\/vendor,board@1\+new_2\.dtb;/);
  assert.throws(() => bootScript({ ...IMX6, console: 'tty"' }), { code: "not-representable" });
});
