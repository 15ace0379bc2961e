/** Sets extended attributes of files of the host. Node has no call for it: setfattr does it. */
import { type ByteString, toBytes } from "../bytes/bytestring.js";
import { runProgram } from "./host-program.js";
import type { Metadata } from "./node.js";

/**
 * Sets the attributes of paths below `folder`, not following symlinks; an empty path is the folder itself. Returns for how
 * many of the paths it failed: all, where there is no setfattr, or the disk has no attributes.
 */
export async function writeHostXattrs(
  folder: string,
  paths: readonly (readonly [path: ByteString, xattrs: Metadata["xattrs"]])[],
): Promise<number> {
  if (paths.length === 0) return 0;
  const { exitCode, complaint } = await runProgram(
    "setfattr",
    ["-h", "--restore=-"],
    folder,
    async (output) => {
      for await (const _ of output);
    },
    dumpOf(paths),
  );
  if (exitCode === undefined) return paths.length;
  const reported = complaint.split("\n").filter((line) => line !== "").length;
  return exitCode === 0 ? 0 : Math.min(Math.max(reported, 1), paths.length);
}

/** In the form that `getfattr --dump` has, and setfattr restores; names in octal, values in hexadecimal. */
function* dumpOf(paths: readonly (readonly [ByteString, Metadata["xattrs"]])[]): Generator<Uint8Array> {
  for (const [path, xattrs] of paths) {
    const lines = [`# file: ${quote(`./${path}` as ByteString)}`];
    for (const [name, value] of xattrs) lines.push(`${quote(name)}=0x${Buffer.from(value).toString("hex")}`);
    yield Buffer.from(`${lines.join("\n")}\n\n`, "latin1");
  }
}

const quote = (name: ByteString) =>
  Array.from(toBytes(name), (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
