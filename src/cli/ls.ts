/** `imgbuild ls IMAGE[:PART] [PATH]`: what is in a file system of an image, one entry a line. */
import { type ByteString, compareBytes, escapeName, safeText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { DirectoryEntry, FileSystem, Inode } from "../image/file-system.js";
import { isDamage, pathIn } from "../tree/damage.js";
import type { Node } from "../tree/node.js";
import { resolvePath } from "../tree/real-path.js";
import { walk } from "../tree/tree.js";
import { defineCommand, type Options } from "./declare.js";
import { partOperand, withFileSystem } from "./image-argument.js";
import { type Found, findPath, modeText, nodeJson, rawLine, timeText } from "./listing.js";
import { commonOptions } from "./options.js";
import { writeOutput } from "./standard-output.js";

const group = "What is listed";

const options = {
  long: {
    type: "flag",
    short: "l",
    describe: "mode, owner, size or device numbers, time in UTC, target of symlinks",
    default: false,
    group,
  },
  recursive: {
    type: "flag",
    short: "R",
    describe: "everything below, each with its path from the root",
    default: false,
    group,
  },
  directory: { type: "flag", short: "d", describe: "a folder itself, not what is in it", default: false, group },
  zero: { type: "flag", describe: "names byte for byte, each with a NUL behind it", default: false, group },
  ...commonOptions,
} as const satisfies Options;

export const ls = defineCommand({
  describe:
    "Lists a folder of a file system in an image, in byte order. Names that could harm a terminal have \\xNN in them.",
  operands: {
    image: partOperand,
    path: { value: "PATH", describe: "a folder or file in it; the root if left out", optional: true },
  },
  options,
  async run({ image, path = "/", long, recursive, directory, zero, json }) {
    await withFileSystem(image, async (fileSystem) => {
      const found = await startingPoint(fileSystem, path, !long && !directory);
      const unread: Unread[] = [];
      const listed =
        directory || found.inode.type !== "directory"
          ? shownItself(found, path)
          : recursive
            ? everythingIn(found, unread)
            : entriesOf(found.inode, long || json, unread);
      await writeOutput(json ? jsonOf(listed, unread) : linesOf(listed, long, zero));
      // A document has them in it.
      if (!json) checkRead(unread);
      else if (unread.length > 0) process.exitCode = 1;
    });
  },
});

/** As with ls: a symlink is followed where it leads to a folder, and listed itself where it leads elsewhere or nowhere. */
async function startingPoint(fileSystem: FileSystem, path: string, follow: boolean): Promise<Found> {
  const itself = await findPath(fileSystem, path, false);
  if (itself.inode.type !== "symlink" || !follow) return itself;
  const { path: real, found } = await resolvePath(fileSystem.root, itself.path);
  return found?.type === "directory" ? { path: real.slice(1) as ByteString, inode: found } : itself;
}

/** An entry as it is listed. */
interface Listed {
  readonly shown: string;
  readonly path: ByteString;
  /** Undefined where only names are wanted, and for what cannot be read. */
  readonly node: Node | undefined;
}

/** What could not be read: it does not keep the rest from being listed. */
interface Unread {
  readonly path: ByteString;
  readonly error: ImgbuildError;
}

/** Fails with the first of them, and its path. */
function checkRead([first, ...others]: readonly Unread[]): void {
  if (first === undefined) return;
  const { error, path } = first;
  const more = others.length === 0 ? "" : `; ${others.length} more could not be read`;
  throw new ImgbuildError(error.code, `/${escapeName(path)}: ${error.message}${more}`, {
    hint: "`imgbuild verify` tells of everything that is damaged.",
    data: error.data,
    cause: error,
  });
}

/** The entry of PATH itself is shown as PATH was written. */
async function* shownItself({ inode }: Found, path: string): AsyncGenerator<Listed> {
  yield { shown: safeText(path), path: path as ByteString, node: await inode.node() };
}

/** Reads what is listed only where more than names is wanted. */
async function* entriesOf(folder: Inode, wantsNodes: boolean, unread: Unread[]): AsyncGenerator<Listed> {
  const entries: DirectoryEntry[] = [];
  for await (const entry of folder.entries()) entries.push(entry);
  for (const { name, inode } of entries.sort((a, b) => compareBytes(a.name, b.name))) {
    let node: Node | undefined;
    try {
      if (wantsNodes) node = await (await inode()).node();
    } catch (error) {
      if (!isDamage(error)) throw error;
      unread.push({ path: name, error });
    }
    yield { shown: escapeName(name), path: name, node };
  }
}

async function* everythingIn({ inode, path: base }: Found, unread: Unread[]): AsyncGenerator<Listed> {
  const prefix = base === "" ? "/" : `/${base}/`;
  const tree = await inode.tree((error, at) => unread.push({ path: at ? pathIn(base, at) : base, error }));
  for (const { path, node } of walk(tree)) {
    if (path === "") continue;
    const whole = `${prefix}${path}` as ByteString;
    yield { shown: escapeName(whole), path: whole, node };
  }
}

/** Lines are handed on many at a time: a call for each would take longer than to make them. */
const BATCH = 1000;

async function* linesOf(
  entries: AsyncIterable<Listed>,
  long: boolean,
  zero: boolean,
): AsyncGenerator<Uint8Array | string> {
  if (zero) {
    for await (const { path, node } of entries) yield rawLine(long ? (`${facts(node)} ${path}` as ByteString) : path);
    return;
  }
  let lines: string[] = [];
  for await (const { shown, node } of entries) {
    lines.push(long ? `${facts(node)} ${shown}${targetOf(node)}\n` : `${shown}\n`);
    if (lines.length < BATCH) continue;
    yield lines.join("");
    lines = [];
  }
  yield lines.join("");
}

const targetOf = (node: Node | undefined) => (node?.type === "symlink" ? ` -> ${escapeName(node.target)}` : "");

/** Mode, owner, size, time; sizes end in one column as far as they can without knowing what comes. */
function facts(node: Node | undefined): string {
  if (node === undefined) return `?????????? ?/? ${"?".padStart(17)} ${"?".padStart(19)}`;
  const owner = `${node.uid}/${node.gid}`;
  return [modeText(node), owner, sizeText(node).padStart(Math.max(0, 20 - owner.length)), timeText(node.mtime)].join(
    " ",
  );
}

function sizeText(node: Node): string {
  if (node.type === "file") return `${node.content.size}`;
  if (node.type === "symlink") return `${node.target.length}`;
  return "major" in node ? `${node.major},${node.minor}` : "0";
}

async function* jsonOf(entries: AsyncIterable<Listed>, unread: readonly Unread[]): AsyncGenerator<string> {
  let separator = '{"entries":[';
  let text = "";
  for await (const { path, node } of entries) {
    text += `${separator}\n${JSON.stringify(node === undefined ? { path: escapeName(path) } : nodeJson(path, node))}`;
    separator = ",";
    if (text.length < 2 ** 16) continue;
    yield text;
    text = "";
  }
  const errors =
    unread.length === 0
      ? ""
      : `,"errors":${JSON.stringify(unread.map(({ path, error }) => ({ path: escapeName(path), code: error.code, message: error.message })))}`;
  yield `${text}${separator === "," ? "" : separator}\n]${errors}}\n`;
}
