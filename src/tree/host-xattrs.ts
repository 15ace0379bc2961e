/**
 * Extended attributes of a folder of the host. Node has no calls for them, so a program reads them: getfattr, or else
 * GNU tar, which more hosts have, but which has to read all of the files to get there.
 */
import { type ByteString, fromBytes } from "../bytes/bytestring.js";
import { nulTerminated, runProgram } from "./host-program.js";
import { splitPath } from "./tree.js";
import { isPortableXattr } from "./xattrs.js";

/** By path from the folder, empty for the folder itself. Only what has attributes is in it. */
export type XattrsByPath = Map<ByteString, ReadonlyMap<ByteString, Uint8Array>>;

/**
 * The attributes of everything below `folder`, and of itself, or of `paths` in it alone. Names that mean nothing elsewhere
 * are left out. `notice` is told when a part of them, or all, could not be read.
 */
export async function readHostXattrs(
  folder: string,
  notice: (text: string) => void,
  paths?: readonly ByteString[],
): Promise<XattrsByPath> {
  let reason = "this needs getfattr (package attr) or GNU tar";
  for (const read of [withGetfattr, withTar]) {
    const found: XattrsByPath = new Map();
    const { exitCode, complaint } = await read(folder, found, paths);
    if (exitCode === 0) return found;
    if (/denied|not permitted/.test(complaint)) reason = complaint.split("\n")[0]!;
    // Without a word, or with no result, it is a program of this name that does not know these options.
    if (found.size > 0) {
      notice(`some extended attributes below ${folder} could not be read: ${complaint.split("\n")[0]}`);
      return found;
    }
  }
  notice(`extended attributes, file capabilities among them, are not read from ${folder}: ${reason}`);
  return new Map();
}

/** Paths and names come with \ooo for some bytes, values as 0x and hexadecimal digits. */
function withGetfattr(folder: string, found: XattrsByPath, paths: readonly ByteString[] | undefined) {
  const getfattr = ["-h", "-d", "-m", "-", "-e", "hex", "--absolute-names"];
  const read = async (output: AsyncIterable<Uint8Array>) => {
    let attributes = new Map<ByteString, Uint8Array>();
    for await (const line of lines(output)) {
      if (line.startsWith("# file: ")) {
        attributes = new Map();
        found.set(splitPath(unquote(line.slice("# file: ".length))).join("/") as ByteString, attributes);
      } else if (line !== "") {
        const equals = line.indexOf("=");
        const name = unquote(equals < 0 ? line : line.slice(0, equals));
        const digits = equals < 0 ? "" : line.slice(equals + 3);
        if (isPortableXattr(name)) attributes.set(name, new Uint8Array(Buffer.from(digits, "hex")));
      }
    }
  };
  return paths === undefined
    ? runProgram("getfattr", [...getfattr, "-R", "-P", "."], folder, read)
    : runProgram("xargs", ["-0", "getfattr", ...getfattr], folder, read, nulTerminated(paths));
}

function unquote(text: string): ByteString {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))) as ByteString;
}

async function* lines(output: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of output) {
    const parts = (rest + fromBytes(chunk)).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}

async function withTar(folder: string, found: XattrsByPath, paths: readonly ByteString[] | undefined) {
  // Loaded for the few hosts that need it; before the program runs, whose output does not wait.
  const [{ readMembers }, { StreamWindow }] = await Promise.all([
    import("./tar/members.js"),
    import("./tar/stream-window.js"),
  ]);
  const which = paths === undefined ? ["."] : ["--no-recursion", "--null", "--files-from=-"];
  const args = ["--create", "--format=posix", "--xattrs", "--xattrs-include=*", ...which];
  const read = async (output: AsyncIterable<Uint8Array>) => {
    const window = new StreamWindow(output);
    try {
      for await (const { path, xattrs } of readMembers({ read: (at, length) => window.read(at, length) })) {
        if (xattrs.size > 0) found.set(splitPath(path).join("/") as ByteString, xattrs);
      }
    } catch {
      // It failed half-way, and its exit code says so.
    }
    await window.drain();
  };
  return runProgram("tar", args, folder, read, paths && nulTerminated(paths));
}
