/** What the host's error codes mean for files and devices, and what to do about it. */
import { type ErrorCode, ImgbuildError } from "../errors.js";

/** By the host's code ("ENOSPC"): ours, what is the matter, and what helps. */
export type HostFailures = Readonly<Record<string, readonly [code: ErrorCode, what: string, hint: string]>>;

const DISK_FULL = "Free some space, or write to another disk.";
const GONE = ["io-failed", "it is gone", "Has it been unplugged?"] as const;

const FAILURES: HostFailures = {
  ENOSPC: ["disk-full", "the disk is full", DISK_FULL],
  EDQUOT: ["disk-full", "the disk quota is used up", DISK_FULL],
  EFBIG: [
    "disk-full",
    "the file is too large for this disk",
    "Make it smaller, or write to a disk that takes such files.",
  ],
  EACCES: ["io-failed", "permission is denied", "Check the permissions of file and folder. Devices need root: sudo."],
  EPERM: ["io-failed", "it is not permitted", "Check the folder's permissions, or write to another."],
  EROFS: ["io-failed", "it is on a read-only file system", "Write to another folder."],
  ENOENT: ["io-failed", "no file can be made there", "Write to another folder."],
  ENOTDIR: ["io-failed", "a part of the path is not a folder", "Check the path."],
  ENAMETOOLONG: ["io-failed", "the name is too long", "Choose a shorter one."],
  ELOOP: ["io-failed", "its symlinks lead in a circle", "Write to another folder, or mend the symlinks."],
  EIO: [
    "io-failed",
    "the medium reports an error",
    "Check disk, reader and cable, or use others; `dmesg` may say more.",
  ],
  ENOMEDIUM: ["io-failed", "there is no medium in it", "Put the card in."],
  ENXIO: GONE,
  ENODEV: GONE,
};

/** The error of something that the host did not do, explained: "cannot WHAT: the disk is full (ENOSPC)". `special` comes first. */
export function hostError(what: string, error: unknown, special: HostFailures = {}): ImgbuildError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const known = special[code] ?? FAILURES[code];
  const [kind, reason, hint] = known ?? ["io-failed", code || message, "Check the permissions and the disk."];
  const shown = known === undefined ? "" : ` (${code})`;
  return new ImgbuildError(kind, `cannot ${what}: ${reason}${shown}`, { hint, cause: error });
}

/** The error of a failed write on the host, explained. */
export const hostWriteError = (path: string, error: unknown): ImgbuildError => hostError(`write ${path}`, error);

/** The error of a file that cannot be opened for reading: `source-missing` or `source-unreadable`. */
export function hostReadError(path: string, error: unknown): ImgbuildError {
  const { code } = error as NodeJS.ErrnoException;
  const isMissing = code === "ENOENT";
  return new ImgbuildError(
    isMissing ? "source-missing" : "source-unreadable",
    isMissing ? `${path} does not exist` : `cannot read ${path}: ${code}`,
    { hint: "Check the path and its permissions.", cause: error },
  );
}
