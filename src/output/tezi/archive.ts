/** The folder for the Toradex Easy Installer as one file, which it takes too, and which is easier to hand on. */
import { fromText } from "../../bytes/bytestring.js";
import type { ReadableDevice } from "../../bytes/device.js";
import { type Content, newDirectory, newFile } from "../../tree/node.js";
import { writeTar } from "../../tree/tar/write-tar.js";
import { addNode } from "../../tree/tree.js";
import type { Output } from "../output.js";
import { inTezi, TEZI_FOLDER } from "./files.js";
import { checkTezi } from "./rules.js";

export const teziArchive: Output = {
  check: (plan) => void checkTezi(plan),

  async write({ plan, options }, folder) {
    const name = `${plan.profile}_tezi`;
    const metadata = { mtime: { seconds: options.time, nanoseconds: 0 } };
    const tree = { root: newDirectory(metadata) };
    for (const [file, device] of folder.made()) {
      if (!file.startsWith(inTezi(""))) continue;
      const inArchive = fromText(name + file.slice(TEZI_FOLDER.length));
      addNode(tree, inArchive, newFile(contentOfDevice(device), metadata), metadata);
    }
    const archive = folder.append(`${name}.tar`);
    for await (const piece of writeTar(tree)) await archive.write(piece);
  },
};

function contentOfDevice(device: ReadableDevice): Content {
  return {
    size: device.size,
    async open() {
      return {
        async read(at, into) {
          into.set(await device.read(at, into.length));
        },
        async close() {},
      };
    },
  };
}
