/**
 * What is where on UserData. The scripts on the device rely on these names, and so images of different versions that share
 * one UserData do: they never change.
 *
 *     request                what is to be done at the next boot: requests.sh
 *     factory-reset          a file of this name asks for a factory reset: requests.sh
 *     reset-once             which value of imgbuild.resetonce was done last: requests.sh
 *     grown                  which sizes UserData has grown to: grow.sh
 *     storage                which other device is UserData: storages.sh
 *     imgbuild-storage       on that one: which unit it belongs to
 *     overlay/NAME/state     which layers there are; state.sh has this and all the other names in overlay/NAME
 *     overlay/NAME/factory   there where upper is what the image was built with
 *     overlay/NAME/upper     a layer: what the image was built with, or what was written to the folder at first
 *     overlay/NAME/upper.N   a later one
 *     overlay/NAME+new/      one that is being made; renamed to NAME when it is whole
 *     overlay/NAME+lost1/    something else that was in the place of NAME, and was put out of the way
 *     ...+new                any of the first six, overlay itself, and import, while it is being made: userdata.sh removes what a
 *                            cut left of them
 *
 * No NAME has a "+" in it; that of the whole root is "%2f".
 */
import { type ByteString, compareBytes, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { splitPath } from "../tree/tree.js";

/** File names have at most 255 bytes; "+new", or "+lost" and a number, is put behind some. */
const MAX_NAME = 245;

/** The name of the overlay of "/": no path gives this one, because no name has a "/" in it. */
const WHOLE_ROOT = "%2f";

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
 * The state that an overlay begins with which has content from the start: that content is the factory layer, and the device
 * makes the one above it.
 */
export function factoryState(): string {
  return "state ready\nroot -\ntop - upper\nlayer upper - 0 factory\nend\n";
}

/** Where `factoryState` goes, beside `userdataUpper`. */
export function userdataState(path: ByteString): ByteString {
  return `overlay/${overlayName(path)}/state` as ByteString;
}

/** The empty file that goes there too: it tells the factory layer where the state is damaged or lost. */
export function userdataFactory(path: ByteString): ByteString {
  return `overlay/${overlayName(path)}/factory` as ByteString;
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
  if (name === "") return WHOLE_ROOT;
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
  return splitPath(path).includes(fromText("..")) ? 'has ".." in it' : undefined;
}

function refuse(path: ByteString, reason: string): ImgbuildError {
  return new ImgbuildError("profile-invalid", `there can be no overlay of "${display(path)}": the path ${reason}`, {
    hint: `Name a folder such as ${display(fromText("/home/root"))}.`,
  });
}
