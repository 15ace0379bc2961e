/**
 * Where an overlay keeps its state on UserData. The scripts on the device rely on these names, and so images of different
 * versions that share one UserData do: they never change.
 *
 *     overlay/NAME/upper     what was written to the folder: overlayfs's upper layer
 *     overlay/NAME/work      overlayfs's own
 *     overlay/NAME+new/      one that is being made; renamed to NAME when it is whole
 *     overlay/NAME+lost1/    something else that was in the place of NAME, and was put out of the way
 *
 * No NAME has a "+" in it.
 *
 * One folder an overlay, so that whatever else belongs to one (its state, frozen layers) lies beside its upper layer and a
 * rename of the folder replaces all of it at once.
 */
import { type ByteString, compareBytes, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { splitPath } from "../tree/tree.js";

/** File names have at most 255 bytes; "+new", or "+lost" and a number, is put behind some. */
const MAX_NAME = 245;

/** What overlayfs's option syntax, or the configuration's lines, would take for something else. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const UNSUITABLE = /[\x00-\x20\x7f,:\\]/;

/**
 * The folder on UserData that is the upper layer of the overlay of `path` ("/home/root" -> "overlay/home-root/upper"), for
 * content that is to be there from the start. The caller gives it the owner and the mode of the folder in the root. Throws a
 * `profile-invalid` error for a path that no overlay can be laid over.
 */
export function userdataUpper(path: ByteString): ByteString {
  return `overlay/${overlayName(path)}/upper` as ByteString;
}

/**
 * The name of an overlay: its path with "-" for each "/" within, and with "%XX" for each byte but letters, digits, "." and
 * "_". No two paths have the same one.
 */
export function overlayName(path: ByteString): string {
  const names = checkPath(path);
  const name = names
    .map((part) => part.replace(/[^A-Za-z0-9._]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`))
    .join("-");
  if (name.length > MAX_NAME) throw refuse(path, `is too long: its name on UserData has ${name.length} bytes`);
  return name;
}

/** `paths` in the order in which they are mounted, a folder before what is in it, each once. */
export function sortOverlays(paths: readonly ByteString[]): ByteString[] {
  const normal = paths.map((path) => `/${checkPath(path).join("/")}` as ByteString);
  return [...new Set(normal)].sort(compareBytes);
}

/**
 * Throws a `profile-invalid` error when no overlay can be laid over `real`, which is where symlinks in the root lead `path`:
 * it is what is mounted on, and so stands in overlayfs's options and in the configuration.
 */
export function checkRealPath(path: ByteString, real: ByteString): void {
  const reason = unsuitable(real);
  if (reason !== undefined) throw refuse(path, `leads to "${display(real)}", which ${reason}`);
}

function checkPath(path: ByteString): ByteString[] {
  const reason = unsuitable(path);
  if (reason !== undefined) throw refuse(path, reason);
  return splitPath(path);
}

/** Why no overlay can be laid over a path, or undefined. */
function unsuitable(path: ByteString): string | undefined {
  if (!path.startsWith("/")) return "is not absolute";
  if (UNSUITABLE.test(path)) return "has a blank, a control character, or one of , : \\ in it";
  const names = splitPath(path);
  if (names.includes(fromText(".."))) return 'has ".." in it';
  return names.length === 0 ? "is the whole root, which is not supported yet" : undefined;
}

function refuse(path: ByteString, reason: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", `there can be no overlay of "${display(path)}": the path ${reason}`, {
    hint: `Name a folder such as ${display(fromText("/home/root"))}.`,
  });
}
