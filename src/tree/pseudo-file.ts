/**
 * Pseudo-file definitions as mksquashfs reads them (-pf): nodes that are no files of the source, one a line, "#" begins a
 * comment line, a backslash at the end continues a line. Names stand in double quotes, or have a backslash in front of a
 * blank:
 *
 *   name  d  mode uid gid                a folder
 *   name  m  mode uid gid                mode and owner of what exists
 *   name  f  mode uid gid  command       a file, with what the shell's command prints
 *   name  s  mode uid gid  target        a symlink
 *   name  c|b  mode uid gid  major minor a device node
 *   name  i  mode uid gid  s|f           a socket or a fifo
 *   name  l  file                        a file of the host, as if it were in the source
 *   name  L  other                       a hard link to another name
 *   name  x  attribute=value             an extended attribute; 0x, 0s, 0t and 0b in front say how the value is written
 *
 * D, M, F, S, C, B and I are the same with a time in front of the mode. Source: squashfs-tools, mksquashfs(1), "Pseudo file
 * definition format", and its releases 4.5.1 and, for x, 4.6.
 */
import { type ByteString, display, toBytes } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { MAX_MAJOR, MAX_MINOR } from "./device-number.js";
import { splitPath } from "./tree.js";
import { isPortableXattr } from "./xattrs.js";

interface Definition {
  /** "pseudo.txt:12", for messages. */
  readonly where: string;
  /** From the tree's root, without a leading "/"; empty for the root. */
  readonly path: ByteString;
}

interface Described extends Definition {
  /** Twelve bits. */
  readonly mode: number;
  /** A number, or a name in the tree's own etc/passwd and etc/group. */
  readonly user: string;
  readonly group: string;
  /** Seconds since 1970; undefined where the definition has none. */
  readonly time: number | undefined;
}

export type PseudoDefinition =
  | (Described & { readonly type: "directory" | "modify" | "fifo" | "socket" })
  | (Described & { readonly type: "command"; readonly command: string })
  | (Described & { readonly type: "symlink"; readonly target: ByteString })
  | (Described & { readonly type: "block" | "character"; readonly major: number; readonly minor: number })
  | (Definition & { readonly type: "host-file"; readonly file: string })
  | (Definition & { readonly type: "link"; readonly target: ByteString })
  | (Definition & { readonly type: "xattr"; readonly name: ByteString; readonly value: Uint8Array });

/** An error of a definition at `where`. */
export function pseudoError(where: string, problem: string, hint?: string): ImgbuildError {
  return new ImgbuildError("source-invalid", `${where}: ${problem}`, {
    hint:
      hint ?? "A definition has a name, a type, and for most types mode, uid and gid, as mksquashfs -pf reads them.",
  });
}

/** The definitions of a file's text. `file` is its name, for messages. Throws a `source-invalid` error with the line. */
export function readPseudoFile(text: ByteString, file: string): PseudoDefinition[] {
  const definitions: PseudoDefinition[] = [];
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const where = `${file}:${i + 1}`;
    let line = lines[i]!.replace(/\r$/, "");
    while (/(?:^|[^\\])\\$/.test(line)) line = line.slice(0, -1) + (lines[++i] ?? "").replace(/\r$/, "");
    const scanner = new Scanner(line, where);
    if (!scanner.atEnd && !scanner.startsWith("#")) definitions.push(readDefinition(scanner, where));
  }
  return definitions;
}

function readDefinition(scanner: Scanner, where: string): PseudoDefinition {
  const path = pathFrom(scanner.quoted("name"), where);
  const letter = scanner.character("type");
  switch (letter) {
    case "l":
      return {
        where,
        path,
        type: "host-file",
        file: textOf(scanner.lastQuoted("file")),
      };
    case "L":
      return { where, path, type: "link", target: pathFrom(scanner.lastQuoted("name to link to"), where) };
    case "x":
      return { where, path, type: "xattr", ...readXattr(scanner.rest("attribute=value"), where) };
    case "R":
      throw pseudoError(
        where,
        "data inside of the pseudo file (type R) is not supported",
        "Extract the image instead.",
      );
  }
  if (!/^[dmfscbiDMFSCBI]$/.test(letter)) {
    throw pseudoError(where, `the type "${display(letter as ByteString)}" is none of d, m, f, s, c, b, i, l, L and x`);
  }
  const time = letter < "a" ? readTime(scanner.quoted("time"), where) : undefined;
  const mode = scanner.word("mode");
  if (!/^[0-7]{1,7}$/.test(mode) || Number.parseInt(mode, 8) > 0o7777) {
    throw pseudoError(where, `the mode "${display(mode)}" is not an octal number up to 7777`);
  }
  const [user, group] = [scanner.word("uid"), scanner.word("gid")].map(display) as [string, string];
  const described = { where, path, mode: Number.parseInt(mode, 8), user, group, time };
  const definition = readParticulars(scanner, letter.toLowerCase(), described);
  if (!scanner.atEnd) throw pseudoError(where, `"${display(scanner.rest("end"))}" follows where nothing is expected`);
  return definition;
}

/** What a type has beside mode and owner. */
function readParticulars(scanner: Scanner, letter: string, described: Described): PseudoDefinition {
  switch (letter) {
    case "d":
      return { ...described, type: "directory" };
    case "m":
      return { ...described, type: "modify" };
    case "f":
      return {
        ...described,
        type: "command",
        command: textOf(scanner.rest("command")),
      };
    case "s":
      // The permissions of a symlink are always all of them.
      return { ...described, mode: 0o777, type: "symlink", target: scanner.rest("target") };
    case "i": {
      const kind = scanner.word("kind, s or f");
      if (kind !== "s" && kind !== "f") {
        throw pseudoError(described.where, `"${display(kind)}" is neither s for a socket nor f for a fifo`);
      }
      return { ...described, type: kind === "s" ? "socket" : "fifo" };
    }
    default: {
      const major = scanner.number("major number", MAX_MAJOR);
      const minor = scanner.number("minor number", MAX_MINOR);
      return { ...described, type: letter === "b" ? "block" : "character", major, minor };
    }
  }
}

function readTime(text: ByteString, where: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32) return Number(text);
  throw pseudoError(
    where,
    `the time "${display(text)}" is not a number of seconds since 1970`,
    `What a date means depends on the host's time zone: write what \`date -d "${display(text)}" +%s\` prints.`,
  );
}

function pathFrom(text: ByteString, where: string): ByteString {
  const names = splitPath(text);
  if (names.includes(".." as ByteString) || text.includes("\0")) {
    throw pseudoError(where, `${display(text)} is not a path below the root`);
  }
  return names.join("/") as ByteString;
}

/** An attribute's value is text as it stands, or after 0x hexadecimal, 0s base64, 0t text with \ooo, 0b text as it stands. */
function readXattr(text: ByteString, where: string): { name: ByteString; value: Uint8Array } {
  const [, name, rest] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || rest === undefined) throw pseudoError(where, `"${display(text)}" is not attribute=value`);
  if (!isPortableXattr(name as ByteString)) {
    throw pseudoError(
      where,
      `an attribute cannot be called ${display(name as ByteString)}`,
      "Names begin with user., trusted. or security.",
    );
  }
  const [, form = "", body] = /^(0[xXsStTbB](?=.))?(.*)$/s.exec(rest)!;
  const value = decodeValue(form.slice(1).toLowerCase(), body!);
  if (value === undefined) throw pseudoError(where, `"${display(rest as ByteString)}" is not what ${form} announces`);
  return { name: name as ByteString, value: toBytes(value) };
}

const BASE64 = /^(?:[a-z0-9+/]{4})*(?:[a-z0-9+/]{2}(?:==)?|[a-z0-9+/]{3}=?)?$/i;

function decodeValue(form: string, body: string): ByteString | undefined {
  switch (form) {
    case "x":
      return /^(?:[0-9a-f]{2})+$/i.test(body) ? replaceNumbers(body, /../g, 16) : undefined;
    case "s":
      return BASE64.test(body) ? (atob(body) as ByteString) : undefined;
    case "t":
      return /^(?:[^\\]|\\[0-3][0-7]{2})+$/.test(body) ? replaceNumbers(body, /\\.../g, 8) : undefined;
    default:
      return body as ByteString;
  }
}

/** Every number that `pattern` finds as the byte that it is. */
function replaceNumbers(text: string, pattern: RegExp, radix: number): ByteString {
  return text.replace(pattern, (number) =>
    String.fromCharCode(Number.parseInt(number.replace("\\", ""), radix)),
  ) as ByteString;
}

/** Text for the host, which it takes as UTF-8. */
const textOf = (bytes: ByteString) => new TextDecoder().decode(toBytes(bytes));

/** Takes a line apart from its start. Blanks are those of C's isspace: a ByteString's other bytes are parts of names. */
class Scanner {
  #rest: string;
  readonly #where: string;

  constructor(line: string, where: string) {
    this.#rest = line;
    this.#where = where;
    this.#skipBlanks();
  }

  get atEnd(): boolean {
    return this.#rest === "";
  }

  startsWith(text: string): boolean {
    return this.#rest.startsWith(text);
  }

  /** Up to the next blank. */
  word(what: string): ByteString {
    return this.#take(/^[^ \t\v\f\r]+/, what);
  }

  /** One character, whatever follows. */
  character(what: string): string {
    return this.#take(/^./s, what);
  }

  /** Up to the next blank that has neither a backslash in front nor quotes around it. */
  quoted(what: string): ByteString {
    const raw = this.#take(/^(?:\\.?|"(?:\\.?|[^"\\])*"?|[^ \t\v\f\r"\\])+/s, what);
    return raw.replace(/\\(.?)|"/gs, "$1") as ByteString;
  }

  /** As `quoted`, and nothing may follow. */
  lastQuoted(what: string): ByteString {
    const text = this.quoted(what);
    if (!this.atEnd) throw pseudoError(this.#where, `"${display(this.rest(what))}" follows where nothing is expected`);
    return text;
  }

  number(what: string, limit: number): number {
    const text = this.word(what);
    if (/^\d{1,7}$/.test(text) && Number(text) <= limit) return Number(text);
    throw pseudoError(this.#where, `the ${what} "${display(text)}" is not a number up to ${limit}`);
  }

  /** Everything up to the end of the line. */
  rest(what: string): ByteString {
    return this.#take(/^.+$/s, what);
  }

  #take(pattern: RegExp, what: string): ByteString {
    const text = pattern.exec(this.#rest)?.[0];
    if (text === undefined) throw pseudoError(this.#where, `the ${what} is missing`);
    this.#rest = this.#rest.slice(text.length);
    this.#skipBlanks();
    return text as ByteString;
  }

  #skipBlanks(): void {
    this.#rest = this.#rest.replace(/^[ \t\v\f\r]+/, "");
  }
}
