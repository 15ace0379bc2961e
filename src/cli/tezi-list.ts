/** `imgbuild tezi-list FOLDER`: the list by which the Toradex Easy Installer finds all images of a web server. */
import * as path from "node:path";
import { safeText } from "../bytes/bytestring.js";
import { findImages, IMAGE_LIST, imageList } from "../output/tezi/image-list.js";
import { Workspace } from "../output/workspace.js";
import { defineCommand } from "./declare.js";
import { interruptible } from "./interrupt.js";
import { commonOptions } from "./options.js";
import { writeOutput } from "./standard-output.js";

export const teziList = defineCommand({
  describe: `Writes FOLDER/${IMAGE_LIST} with the images in FOLDER and below, for the Toradex Easy Installer.`,
  operands: { folder: { value: "FOLDER", describe: "what a web server serves, with outputs of builds in it" } },
  options: commonOptions,
  async run({ folder, json, quiet }) {
    const images = findImages(folder);
    const text = Buffer.from(imageList(images.map(({ file }) => file)));
    const workspace = new Workspace(folder);
    await interruptible(
      () => workspace.discard(),
      async () => {
        try {
          await workspace.create(IMAGE_LIST, text.length).write(0, text);
          workspace.commit();
        } finally {
          workspace.discard();
        }
      },
    );
    if (json) await writeOutput([`${JSON.stringify({ file: path.join(folder, IMAGE_LIST), images })}\n`]);
    else if (!quiet) await writeOutput(images.map((image) => `${lineOf(image)}\n`));
  },
});

const lineOf = ({ file, name, version, productIds }: ReturnType<typeof findImages>[number]) =>
  safeText([file, [name, version].filter(Boolean).join(" "), productIds.join(" ")].join("  "));
