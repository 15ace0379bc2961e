/**
 * Patterns of what is left out of a tree, matched against paths from the source's root, "/" between names:
 *
 *   *.pyc         without a slash: a name at any depth
 *   /boot, dev/*  with one in front or inside: from the root on; "*" and "?" do not match a slash
 *   usr/**        "**" matches slashes too: everything in usr, which stays as an empty folder
 *   cache/        with one at the end: folders only
 *
 * Also [abc], [!a-z], [[:digit:]], {one,other}, @(a|b), !(a|b) and a backslash in front of what is meant literally. A folder
 * that is left out goes with everything below it. Names that begin with a dot are names like all others.
 */
import picomatch from "picomatch";
import { type ByteString, display, toBytes } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Directory } from "./node.js";
import type { Tree } from "./tree.js";

interface Pattern {
  readonly text: ByteString;
  /** Whether it is about the last name only, not about the path. */
  readonly anyDepth: boolean;
  readonly foldersOnly: boolean;
  readonly matches: (glyphs: string) => boolean;
  used: boolean;
}

const MATCHING = { dot: true, nonegate: true, posix: true, strictSlashes: true, windows: false } as const;

/** A list of patterns, which remembers which of them matched something. */
export class Excludes {
  readonly #patterns: readonly Pattern[];

  /** Throws a `usage` error for an empty pattern, and for one that would take something back in (".gitignore" has them). */
  constructor(patterns: readonly ByteString[]) {
    this.#patterns = patterns.map(compile);
  }

  /**
   * Whether the node at `path`, from the root without a leading "/", is left out. Folders have to be asked before what is
   * in them: what is below one that is left out is not looked at. `isFolder` is called only where it matters.
   */
  has(path: ByteString, isFolder: () => boolean): boolean {
    let whole: string | undefined;
    let last: string | undefined;
    let found = false;
    // All of them are tried, so that one pattern does not make another look like a mistake.
    for (const pattern of this.#patterns) {
      whole ??= glyphs(path);
      last ??= whole.slice(whole.lastIndexOf("/") + 1);
      if (!pattern.matches(pattern.anyDepth ? last : whole) || (pattern.foldersOnly && !isFolder())) continue;
      pattern.used = true;
      found = true;
    }
    return found;
  }

  /** The patterns that have matched nothing so far, as they were given. */
  get unused(): ByteString[] {
    return this.#patterns.filter(({ used }) => !used).map(({ text }) => text);
  }
}

function compile(text: ByteString): Pattern {
  const foldersOnly = text.endsWith("/");
  const path = text.replace(/\/+$/, "");
  const relative = path.replace(/^(?:\.?\/+)+/, "");
  if (relative === "" || relative === "." || /^!(?!\()/.test(text)) {
    throw new ImgbuildError("usage", `"${display(text)}" is not a pattern of what to leave out`, {
      hint: text.startsWith("!")
        ? "What was left out cannot be taken back in. Write \\! for a name that begins with an exclamation mark."
        : "Write a name, a path from the source's root, or one of them with * and ?.",
    });
  }
  const glob = asPicomatch(glyphs(relative as ByteString));
  return { text, foldersOnly, anyDepth: !path.includes("/"), matches: picomatch(glob, MATCHING), used: false };
}

/** The pattern as picomatch has it. As in the shell, parentheses are special behind the sign of an extended pattern only, quotes never. */
function asPicomatch(glob: string): string {
  const extended: boolean[] = [];
  return glob.replace(/\\.|[?*+@!]\(|[()"]/gs, (part) => {
    // To the expression behind it, "\\s" and its like would be classes of characters.
    if (/^\\[A-Za-z0-9]$/.test(part)) return part.slice(1);
    if (part === '"') return '\\"';
    if (part.endsWith("(") && !part.startsWith("\\")) extended.push(part.length === 2);
    if (part === ")") return (extended.pop() ?? false) ? part : "\\)";
    return part === "(" ? "\\(" : part;
  });
}

/** The well-formed sequences of more than one byte (The Unicode Standard, table 3-7), or else a single byte. */
const SEQUENCE =
  /[\xc2-\xdf][\x80-\xbf]|(?:\xe0[\xa0-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]|\xed[\x80-\x9f])[\x80-\xbf]|(?:\xf0[\x90-\xbf]|[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}|[\x80-\xff]/g;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A name as its characters. A byte that is no part of UTF-8 becomes a character of its own that no text contains (a lone
 * surrogate), so that "?" matches it as one, and nothing else does.
 */
function glyphs(name: ByteString): string {
  return name.replace(SEQUENCE, (sequence) =>
    sequence.length === 1
      ? String.fromCharCode(0xdc00 + sequence.charCodeAt(0))
      : decoder.decode(toBytes(sequence as ByteString)),
  );
}

/** Takes out of a tree what is left out. Other names of a file that has several stay, with all it holds. */
export function removeExcluded(tree: Tree, excludes: Excludes): void {
  const folders: [prefix: string, folder: Directory][] = [["", tree.root]];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const [prefix, { entries }] = next;
    for (const [name, node] of entries) {
      const path = `${prefix}${name}` as ByteString;
      const isFolder = node.type === "directory";
      if (excludes.has(path, () => isFolder)) entries.delete(name);
      else if (isFolder) folders.push([`${path}/`, node]);
    }
  }
}

/** The patterns of a file: one a line, "#" begins a comment line, blank lines and blanks around a pattern mean nothing. */
export function readExcludeFile(text: ByteString): ByteString[] {
  return text
    .split("\n")
    .map((line) => line.replace(/^[ \t]+|[ \t\r]+$/g, "") as ByteString)
    .filter((line) => line !== "" && !line.startsWith("#"));
}
