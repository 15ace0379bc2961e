/** `imgbuild boot IMAGE|OUTDIR`: the image on the profile's machine, its console on this terminal. */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import type { ArgumentsCamelCase, CommandModule, InferredOptionTypes, Options } from "yargs";
import { FileReader } from "../bytes/file-device.js";
import { ImgbuildError } from "../errors.js";
import { IMAGE, MANIFEST } from "../output/artifacts.js";
import { readManifest } from "../output/manifest.js";
import { planOfResolved } from "../profile/load.js";
import { bootImage } from "../qemu/run.js";
import { emulatedMachine, kernelStart, startsUboot, ubootStart } from "../qemu/start.js";
import { type CommonOptions, reporterFor } from "./options.js";

const options = {
  write: { type: "boolean", describe: "keep in the image what the guest writes", default: false },
  direct: { type: "boolean", describe: "start the kernel without U-Boot", default: false },
  bios: { type: "string", describe: "U-Boot's u-boot.bin for this machine", requiresArg: true },
} as const satisfies Record<string, Options>;

type Arguments = InferredOptionTypes<typeof options> & CommonOptions & { image: string };

export const bootCommand: CommandModule<CommonOptions, Arguments> = {
  command: "boot <image>",
  describe: "boot an image in QEMU, on a throw-away snapshot",
  builder: (yargs) =>
    yargs
      .positional("image", { type: "string", demandOption: true, describe: "an output folder, or the image in it" })
      .options(options) as never,
  handler: run,
};

async function run(args: ArgumentsCamelCase<Arguments>): Promise<void> {
  const isFolder = fs.existsSync(args.image) && fs.statSync(args.image).isDirectory();
  const image = isFolder ? path.join(args.image, IMAGE) : args.image;
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
    const start =
      startsUboot(plan) && !args.direct
        ? ubootStart(plan, args.bios)
        : await kernelStart(device, plan, manifest, temporary);
    const machine = emulatedMachine(plan);
    reporterFor(args).say(`${plan.profile} on QEMU's ${machine.machine}: Ctrl-A X ends it`);
    await bootImage({ machine, image, start, write: args.write });
  } finally {
    device.close();
    fs.rmSync(temporary, { recursive: true, force: true });
  }
}
