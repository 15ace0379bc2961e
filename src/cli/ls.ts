/** `imgbuild ls IMAGE[:PART] [PATH]`: what is in a file system of an image, one entry a line. */
import { type ByteString, escapeName, safeText } from "../bytes/bytestring.js";
import type { Node } from "../tree/node.js";
import { realPath } from "../tree/real-path.js";
import { lookup, sortedEntries, type Tree, type Visit, walk } from "../tree/tree.js";
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
      const tree = await fileSystem.tree();
      const found = startingPoint(tree, path, !long && !directory);
      const listed = directory ? [shownItself(found, path)] : entriesOf(found, path, recursive);
      await writeOutput(json ? jsonOf(listed) : linesOf(listed, long, zero));
    });
  },
});

/** As with ls: a symlink is followed where it leads to a folder, and listed itself where it leads elsewhere or nowhere. */
function startingPoint(tree: Tree, path: string, follow: boolean): Found {
  const itself = findPath(tree, path, false);
  if (itself.node.type !== "symlink" || !follow) return itself;
  const real = realPath(tree, itself.path).slice(1) as ByteString;
  const node = lookup(tree, real);
  return node?.type === "directory" ? { path: real, node } : itself;
}

/** The entry of PATH itself is shown as PATH was written. */
const shownItself = ({ node }: Found, path: string): Listed => ({
  shown: safeText(path),
  path: path as ByteString,
  node,
});

interface Listed {
  readonly shown: string;
  readonly path: ByteString;
  readonly node: Node;
}

function* entriesOf(found: Found, path: string, recursive: boolean): Generator<Listed> {
  const { node, path: base } = found;
  if (node.type !== "directory") yield shownItself(found, path);
  else if (recursive) {
    for (const visit of walk({ root: node })) if (visit.path !== "") yield listed(fromRoot(base, visit));
  } else for (const [name, child] of sortedEntries(node)) yield listed({ path: name, node: child });
}

const listed = ({ path, node }: Visit): Listed => ({ shown: escapeName(path), path, node });

function fromRoot(base: ByteString, { path, node }: Visit): Visit {
  return { path: `/${base === "" ? "" : `${base}/`}${path}` as ByteString, node };
}

/** Lines are handed on many at a time: a call for each would take longer than to make them. */
const BATCH = 1000;

async function* linesOf(entries: Iterable<Listed>, long: boolean, zero: boolean): AsyncGenerator<Uint8Array | string> {
  if (zero) {
    for (const { path, node } of entries) yield rawLine(long ? (`${facts(node)} ${path}` as ByteString) : path);
    return;
  }
  let lines: string[] = [];
  for (const { shown, node } of entries) {
    lines.push(long ? `${facts(node)} ${shown}${targetOf(node)}\n` : `${shown}\n`);
    if (lines.length < BATCH) continue;
    yield lines.join("");
    lines = [];
  }
  yield lines.join("");
}

const targetOf = (node: Node) => (node.type === "symlink" ? ` -> ${escapeName(node.target)}` : "");

/** Mode, owner, size, time; sizes end in one column as far as they can without knowing what comes. */
function facts(node: Node): string {
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

async function* jsonOf(entries: Iterable<Listed>): AsyncGenerator<string> {
  let separator = '{"entries":[';
  let text = "";
  for (const { path, node } of entries) {
    text += `${separator}\n${JSON.stringify(nodeJson(path, node))}`;
    separator = ",";
    if (text.length < 2 ** 16) continue;
    yield text;
    text = "";
  }
  yield `${text}${separator === "," ? "" : separator}\n]}\n`;
}
