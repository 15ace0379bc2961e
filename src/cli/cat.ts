/** `imgbuild cat IMAGE[:PART] PATH`: a file of an image, on standard output. */
import { escapeName } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Content } from "../tree/node.js";
import { defineCommand } from "./declare.js";
import { partOperand, withFileSystem } from "./image-argument.js";
import { findPath } from "./listing.js";
import { commonOptions } from "./options.js";
import { writeOutput } from "./standard-output.js";

const CHUNK = 2 ** 20;

export const cat = defineCommand({
  describe: "Prints a file of a file system in an image. Symlinks are followed within the image.",
  operands: { image: partOperand, path: { value: "PATH", describe: "the file in it" } },
  options: commonOptions,
  async run({ image, path, json }) {
    if (json) {
      throw new ImgbuildError("usage", "imgbuild cat prints a file as it is, and no JSON", {
        hint: "`imgbuild ls --json` tells about the file.",
      });
    }
    await withFileSystem(image, async (fileSystem) => {
      const { inode, path: real } = await findPath(fileSystem, path, true);
      const node = inode.type === "file" ? await inode.node() : undefined;
      if (node?.type !== "file") {
        const kind = inode.type === "directory" ? "a folder" : `a ${inode.type}`;
        throw new ImgbuildError("source-invalid", `/${escapeName(real)} is ${kind}, not a file`, {
          hint:
            inode.type === "directory" ? "`imgbuild ls` lists it, `imgbuild extract` copies it." : "It has no content.",
        });
      }
      await writeOutput(piecesOf(node.content));
    });
  },
});

async function* piecesOf(content: Content): AsyncGenerator<Uint8Array> {
  if (content.size === 0) return;
  const reader = await content.open();
  try {
    for (let at = 0; at < content.size; at += CHUNK) {
      // A new one for each: what was handed to a pipe is still on its way.
      const piece = new Uint8Array(Math.min(CHUNK, content.size - at));
      await reader.read(at, piece);
      yield piece;
    }
  } finally {
    await reader.close();
  }
}
