/** `imgbuild boot IMAGE|OUTDIR`: the image on the profile's machine, its console on this terminal. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { FileReader } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { MANIFEST } from "../output/artifacts.js";
import { readManifest } from "../output/manifest.js";
import { planOfResolved } from "../profile/load.js";
import { bootImage } from "../qemu/run.js";
import { emulatedMachine, endlessPanic, kernelStart, startsUboot, ubootStart } from "../qemu/start.js";
import { type Arguments, defineCommand, type Operands, type Options } from "./declare.js";
import { imageInFolder } from "./image-argument.js";
import { commonOptions, reporterFor } from "./options.js";

const group = "How it is booted";

const options = {
  write: { type: "flag", describe: "keep in the image what the guest writes", default: false, group },
  direct: { type: "flag", describe: "start the kernel without U-Boot", default: false, group },
  reboot: { type: "flag", describe: "start again when the guest reboots; --no-reboot ends", default: true, group },
  bios: { type: "text", value: "FILE", describe: "U-Boot for this machine: u-boot.bin, of the PC u-boot.rom", group },
  ...commonOptions,
} as const satisfies Options;

const operands = {
  image: { value: "IMAGE", describe: "an output folder, or the image in it" },
} as const satisfies Operands;

export const boot = defineCommand({
  describe: "Boots an image in QEMU, on a throw-away snapshot, with its console on this terminal.",
  operands,
  options,
  run,
});

async function run(args: Arguments<typeof options, typeof operands>): Promise<void> {
  const isFolder = fs.statSync(args.image, { throwIfNoEntry: false })?.isDirectory();
  const image = isFolder ? imageInFolder(args.image) : args.image;
  const device = new FileReader(image);
  const temporary = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-start-"));
  try {
    const manifest = readManifest(path.dirname(image));
    if (manifest === undefined) {
      throw new ImgbuildError("source-missing", `there is no ${MANIFEST} beside ${image}`, {
        hint: "It says which machine the image is for: keep it together with the image, or build the image again.",
      });
    }
    const plan = planOfResolved(manifest.profile.name, manifest.profile.resolved);
    const throughUboot = startsUboot(plan) && !args.direct;
    if (args.bios !== undefined && !throughUboot) {
      throw new ImgbuildError(
        "usage",
        args.direct
          ? "--direct starts the kernel without U-Boot, and --bios names one"
          : `--bios has no meaning here: QEMU's machine for ${plan.profile} starts the kernel without U-Boot`,
        { hint: args.direct ? "Leave one out." : "Leave it out." },
      );
    }
    const start = throughUboot ? ubootStart(plan, args.bios) : await kernelStart(device, plan, manifest, temporary);
    const machine = emulatedMachine(plan);
    const reporter = reporterFor(args);
    reporter.say(`${plan.profile} on QEMU's ${machine.machine}: Ctrl-A X ends it`);
    const panic = args.reboot ? endlessPanic(plan, manifest, start) : undefined;
    if (panic !== undefined)
      reporter.say(`a reboot ends it too: with ${panic} a kernel that panics would restart for ever`);
    await bootImage({ machine, image, start, write: args.write, reboots: args.reboot && panic === undefined });
  } finally {
    device.close();
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}
