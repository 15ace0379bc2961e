/** What a factory reset carries over: patterns as the shell has them, which reset.sh expands on the device. */
import picomatch from "picomatch";
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";

/**
 * A pattern as the device's configuration can say it, without the slashes that a folder's name may end with. Throws
 * `profile-invalid` for one that is no absolute path, or that a line of the configuration or a shell would take otherwise.
 */
export function keepPattern(pattern: ByteString): ByteString {
  const plain = pattern.replace(/\/+$/, "") as ByteString;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/^\/[^\x00-\x1f\\]+$/.test(plain) && !/\s$|\/\.\.?(?:\/|$)/.test(plain)) return plain;
  throw new ImgbuildError("profile-invalid", `a factory reset cannot keep "${display(pattern)}"`, {
    hint: 'Name files by absolute paths, with * ? and [ ] but without ".", ".." and backslashes: "/etc/ssh/ssh_host_*".',
  });
}

/** Whether what a pattern may match is in the folder of an absolute path, or that folder is in it: as within_overlay of reset.sh has it. */
export function isWithin(pattern: ByteString, folder: ByteString): boolean {
  const [globs, names] = [pattern, folder].map((path) => path.split("/").filter(Boolean));
  return names!.every((name, i) => globs![i] === undefined || picomatch.isMatch(name, globs![i], SHELL));
}

/** As `case` has them in POSIX sh: no braces, no extended patterns, and a dot in front is a character like others. */
const SHELL = { dot: true, nobrace: true, noextglob: true, noglobstar: true, nonegate: true, posix: true } as const;
