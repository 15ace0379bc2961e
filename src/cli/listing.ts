/** How nodes are shown, and how what is shown is found again. */
import { type ByteString, escapeName, fromText, toBytes } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { FileSystem, Inode } from "../image/file-system.js";
import type { Node, Timestamp } from "../tree/node.js";
import { resolvePath } from "../tree/real-path.js";

/** What is at a path of the command line, and that path in the file system. */
export interface Found {
  /** Without a leading slash, symlinks followed. */
  readonly path: ByteString;
  readonly inode: Inode;
}

/**
 * Finds what `text` names, as it stands or with the escapes of `escapeName`, and reads only the folders on the way. Symlinks
 * there are followed within the file system, the last name's where `followLast` says so. Rejects with `source-missing`, with
 * `source-invalid` for symlinks in a circle, and as the file system does.
 */
export async function findPath(fileSystem: FileSystem, text: string, followLast: boolean): Promise<Found> {
  const literal = fromText(text);
  const unescaped = text.replace(/\\(?:x([0-9a-f]{2})|\\)/g, (_, hex) => (hex === undefined ? "\\" : `\0${hex}`));
  // Two digits behind a NUL, which no argument has, stand for a byte.
  const bytes = fromText(unescaped).replace(/\0([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  ) as ByteString;
  for (const candidate of new Set([literal, bytes])) {
    const { path, found } = await resolvePath(fileSystem.root, candidate, followLast || candidate.endsWith("/"));
    if (found !== undefined) return { path: path.slice(1) as ByteString, inode: found };
  }
  const real = (await resolvePath(fileSystem.root, literal, followLast)).path.slice(1) as ByteString;
  const via = `/${real}` === text || real === literal ? "" : ` (which leads to /${escapeName(real)})`;
  throw new ImgbuildError("source-missing", `there is no ${text} in the image${via}`, {
    hint: "`imgbuild ls --recursive` lists what there is.",
  });
}

const TYPE_LETTERS: Readonly<Record<Node["type"], string>> = {
  file: "-",
  directory: "d",
  symlink: "l",
  block: "b",
  character: "c",
  fifo: "p",
  socket: "s",
};

/** "drwxr-xr-x", as ls and find show type and mode. */
export function modeText({ type, mode }: Node): string {
  const triple = (bits: number, special: boolean, letter: string) => {
    const execute = (bits & 1) !== 0;
    const last = special ? (execute ? letter : letter.toUpperCase()) : execute ? "x" : "-";
    return `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${last}`;
  };
  return [
    TYPE_LETTERS[type],
    triple(mode >> 6, (mode & 0o4000) !== 0, "s"),
    triple(mode >> 3, (mode & 0o2000) !== 0, "s"),
    triple(mode, (mode & 0o1000) !== 0, "t"),
  ].join("");
}

/** "2024-02-29 12:00:00", in UTC; beyond what dates reach, the seconds since 1970. */
export function timeText({ seconds }: Timestamp): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `@${seconds}` : date.toISOString().slice(0, -5).replace("T", " ");
}

/** A node for --json. */
export function nodeJson(path: ByteString, node: Node): Record<string, unknown> {
  const { type, mode, uid, gid, mtime, xattrs } = node;
  return {
    path: escapeName(path),
    type,
    mode: mode.toString(8).padStart(4, "0"),
    uid,
    gid,
    mtime: mtime.seconds,
    ...(mtime.nanoseconds > 0 && { nanoseconds: mtime.nanoseconds }),
    ...(type === "file" && { size: node.content.size }),
    ...(type === "symlink" && { target: escapeName(node.target) }),
    ...("major" in node && { major: node.major, minor: node.minor }),
    ...(xattrs.size > 0 && { xattrs: xattrsJson(xattrs) }),
  };
}

/** Values in base64: they are bytes. */
function xattrsJson(xattrs: Node["xattrs"]): Record<string, string> {
  const entries = [...xattrs].map(
    ([name, value]) => [escapeName(name), Buffer.from(value).toString("base64")] as const,
  );
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The bytes of a name and a separator behind it, for --zero. */
export const rawLine = (name: ByteString): Uint8Array => toBytes(`${name}\0` as ByteString);
