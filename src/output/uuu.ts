/**
 * uuu.auto: a script for NXP's uuu, which starts a board in recovery mode over USB and flashes it. It uses nothing but `download` and
 * U-Boot's own commands, which every uuu has and every U-Boot with CONFIG_FASTBOOT_UUU_SUPPORT: uuu's `write -format` came with
 * version 1.5, and partitions called "all" and "bootloader" are those of NXP's U-Boot. What has to be on the eMMC goes over the
 * cable in files that fit into the board's memory; of zeros one file, once.
 *
 *     1. zeros over what the image has in the first MiB, the head: an older image's table is gone with it
 *     2. zeros and data behind it
 *     3. the bootloader in boot0, where it goes there
 *     4. the head
 *
 * So what is flashed half-way has no partition table, and the bootloader, be it the new one or an older one in boot0, starts nothing
 * from it. A copy of a GPT at the eMMC's end does not count without an MBR in sector 0: U-Boot, disk/part_efi.c, part_test_efi.
 *
 * Where a download comes to is nothing that a script can ask for: U-Boot has it at CONFIG_FASTBOOT_BUF_ADDR (drivers/fastboot/fb_common.c),
 * NXP's at the variable fastboot_buffer, if that is set (drivers/fastboot/fb_fsl). The profile says it, and the script sets the
 * variable to the same.
 */
import type { RecordingDevice } from "../bytes/device.js";
import { type Extent, ExtentSet } from "../bytes/extent.js";
import { alignUp, hex } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { boot0Size } from "../image/boot0.js";
import { copyContent } from "../image/copy-content.js";
import type { Plan } from "../image/plan.js";
import { BOOT0 } from "./artifact-names.js";
import { pieces } from "./blocks.js";
import { BLOCK, boot0Commands, mmcWrite } from "./mmc-commands.js";
import type { ArtifactFolder, Output } from "./output.js";

const SCRIPT = "uuu.auto";
const UUU_VERSION = "1.4.43";
/** The longest file that is downloaded. CONFIG_FASTBOOT_BUF_SIZE is 112 MiB unless a board says otherwise, and no board with an i.MX says less. */
const LONGEST = 2 ** 25;
const ZEROS = 2 ** 22;
const ZEROS_FILE = "uuu/zeros.bin";
/** Where the head ends: with the table, and what a boot ROM looks for where the bootloader is in the user area. */
const HEAD_END = 2 ** 20;

export const uuu: Output = {
  check(plan) {
    factsOf(plan);
  },

  checkInputs(plan, prepared) {
    const missing = factsOf(plan).bootloader.files.find(({ file }) => !prepared.bootloader.has(file));
    if (missing === undefined) return;
    throw new ImgbuildError(
      "bootloader-missing",
      `uuu starts the board with ${missing.file}, which is not in the build`,
      {
        hint: "Name the folder that holds the bootloader with --bootloader DIR.",
        data: { missing: [missing.file] },
      },
    );
  },

  async write({ plan, prepared, image }, folder) {
    const { bootloader } = factsOf(plan);
    for (const { file } of bootloader.files) {
      const content = prepared.bootloader.get(file)!;
      await copyContent(folder.create(file, content.size), 0, content);
    }
    const { body, head } = await imageLines(plan, image, folder);
    const lines = [...startLines(plan), ...body, ...boot0Lines(plan, boot0Size(plan, prepared)), ...head, "FB: done"];
    const text = Buffer.from(`${lines.join("\n")}\n`);
    await folder.create(SCRIPT, text.length).write(0, text);
  },
};

function factsOf({ flash, bootloader, profile }: Plan) {
  const { uuu, mmc } = flash;
  const lacking = (what: string, hint: string) =>
    new ImgbuildError("profile-invalid", `the output uuu cannot be made for ${profile}: ${what}`, { hint });
  if (uuu === undefined) {
    throw lacking("flash.uuu does not say how its boot ROM takes a bootloader", "Set flash.uuu.rom to sdp or sdps.");
  }
  const { bufferAddress } = uuu;
  if (bufferAddress === undefined) {
    throw lacking(
      "flash.uuu.bufferAddress does not say where its U-Boot has what is downloaded",
      "Set it to CONFIG_FASTBOOT_BUF_ADDR of the board's U-Boot: 0x14420000, for example.",
    );
  }
  if (mmc === undefined) throw lacking("flash.mmc is missing", "Set it to the eMMC's number in U-Boot.");
  if (bootloader === undefined) throw lacking("it has no bootloader", "Say in bootloader.files what it starts with.");
  // In a script that separates by blanks, and in the output folder.
  const odd = bootloader.files.find(({ file }) => !/^[A-Za-z0-9_][A-Za-z0-9._+-]*$/.test(file));
  if (odd !== undefined) {
    throw lacking(`its script cannot name "${odd.file}"`, "Rename the file, and say so in bootloader.files.");
  }
  const [, second, third] = bootloader.files;
  if (third !== undefined) throw lacking("its bootloader has more than two files", "Leave the output uuu out.");
  if (second !== undefined && uuu.loadAddress === undefined) {
    throw lacking(
      `the SPL has to be told where to load ${second.file}`,
      "Set flash.uuu.loadAddress to CONFIG_TEXT_BASE - 0x40 of the board's U-Boot.",
    );
  }
  return { uuu, mmc, bootloader, bufferAddress };
}

/** From the boot ROM to U-Boot. */
function startLines(plan: Plan): string[] {
  const { uuu, mmc, bootloader, bufferAddress } = factsOf(plan);
  const [first, second] = bootloader.files;
  const address = hex(uuu.loadAddress ?? 0);
  return [
    `uuu_version ${UUU_VERSION}`,
    `# ${plan.profile}: put the board into recovery mode, connect its USB device port, and run uuu in this folder`,
    ...uuu.devices.map((device) => `CFG: ${device}`),
    "# the boot ROM",
    `${uuu.rom.toUpperCase()}: boot -f ${first!.file}`,
    "# the SPL, on boards that have one: it takes the rest of the bootloader",
    "SDPV: delay 1000",
    ...(second === undefined
      ? [`SDPV: write -f ${first!.file} -skipspl`, "SDPV: jump"]
      : [`SDPV: write -f ${second.file} -addr ${address}`, `SDPV: jump -addr ${address}`]),
    "# U-Boot: what is downloaded comes to CONFIG_FASTBOOT_BUF_ADDR; NXP's has to be told",
    `FB: ucmd setenv fastboot_buffer ${hex(bufferAddress)}`,
    `FB: ucmd mmc dev ${mmc} 0`,
  ];
}

const write = (address: number, { start, end }: Extent) => `FB: ucmd ${mmcWrite(hex(address), start, end - start)}`;

/** Makes the files that are downloaded. Returns the lines that clear the head and write everything else, and those that write the head. */
async function imageLines(plan: Plan, image: RecordingDevice, folder: ArtifactFolder) {
  const { mmc, bufferAddress } = factsOf(plan);
  const data = wholeSectors(image.data, image.size);
  const written = wholeSectors(image.written, image.size);
  const head = data.intersect(0, HEAD_END);
  const clear = (extents: readonly Extent[]) => [...cut(extents, ZEROS)].map((extent) => write(bufferAddress, extent));
  const zeros = [...written].flatMap((extent) => without(extent, data));
  const longest = Math.min(ZEROS, Math.max(...[...head, ...zeros].map(({ start, end }) => end - start)));
  await folder.create(ZEROS_FILE, longest).zero(0, longest);
  let files = 0;
  const send = async (extents: readonly Extent[]) => {
    const name = `uuu/data-${String(++files).padStart(4, "0")}.bin`;
    const file = folder.append(name);
    const lines = [`FB: download -f ${name}`];
    for (const extent of extents) {
      lines.push(write(bufferAddress + file.size, extent));
      for await (const { bytes } of pieces(image, extent.start, extent.end)) await file.write(bytes);
    }
    return lines;
  };
  const body = [
    "# the first MiB is cleared, so that nothing starts from here on until it is written, which comes last",
    `FB: download -f ${ZEROS_FILE}`,
    ...clear(head),
    "# zeros",
    ...clear(zeros),
    "# data",
  ];
  for (const extents of inFiles([...cut(data.intersect(HEAD_END, image.size), LONGEST)]))
    body.push(...(await send(extents)));
  return { body, head: ["# the first MiB", `FB: ucmd mmc dev ${mmc} 0`, ...(await send(head))] };
}

/** The extents, as whole sectors. */
function wholeSectors(extents: Iterable<Extent>, size: number): ExtentSet {
  const set = new ExtentSet();
  for (const { start, end } of extents) set.add(start - (start % BLOCK), Math.min(alignUp(end, BLOCK), size));
  return set;
}

function without({ start, end }: Extent, taken: ExtentSet): Extent[] {
  const left: Extent[] = [];
  let at = start;
  for (const next of taken.intersect(start, end)) {
    if (next.start > at) left.push({ start: at, end: next.start });
    at = next.end;
  }
  if (at < end) left.push({ start: at, end });
  return left;
}

function* cut(extents: readonly Extent[], longest: number): Generator<Extent> {
  for (const { start, end } of extents) {
    for (let at = start; at < end; at += longest) yield { start: at, end: Math.min(end, at + longest) };
  }
}

/** Groups that are LONGEST together at most. */
function inFiles(extents: readonly Extent[]): Extent[][] {
  const groups: Extent[][] = [];
  let room = 0;
  for (const extent of extents) {
    const length = extent.end - extent.start;
    if (length > room) {
      groups.push([]);
      room = LONGEST;
    }
    groups.at(-1)!.push(extent);
    room -= length;
  }
  return groups;
}

/** The bootloader, in the eMMC's boot partition, and that the boot ROM takes it from there. */
function boot0Lines(plan: Plan, size: number | undefined): string[] {
  if (size === undefined) return [];
  const { mmc, bufferAddress } = factsOf(plan);
  const commands = boot0Commands(mmc, hex(bufferAddress), size);
  return ["# the bootloader", `FB: download -f ${BOOT0}`, ...commands.map((command) => `FB: ucmd ${command}`)];
}
