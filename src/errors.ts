/**
 * The one error class of the project, and the closed list of its codes. docs/errors.md explains each code; a test holds
 * the two against each other. This file is the only one that every layer may import.
 */

/** What can go wrong, as a user would sort it. Each is explained in docs/errors.md. */
export const ERROR_CODES = [
  "usage", // the command line asks for something that cannot be asked for
  "source-missing", // a file or folder that was named does not exist
  "source-invalid", // input that is not what it should be: a broken tar, a malformed table
  "source-unsupported", // well-formed input that uses something this program does not handle
  "source-changed", // a file became shorter or longer while it was read
  "source-unreadable", // the host refused to read it
  "profile-unknown", // no profile of that name
  "profile-invalid", // a profile, or a --set, that does not fit the schema
  "kernel-missing", // no kernel image where one was looked for
  "kernel-unsupported", // the kernel lacks something the image needs, or has the wrong architecture
  "devicetree-missing", // none of the board's device trees was found
  "bootloader-missing", // a bootloader file that the board needs was not found
  "layout-conflict", // two things claim the same bytes, or the layout breaks a rule of the table or the board
  "does-not-fit", // content is larger than the place it goes to
  "not-representable", // the format cannot hold this name, id, size or time
  "image-corrupt", // an image, or a structure in it, is damaged
  "device-refused", // a device that must not be written: it is in use, read-only, or not one for this image
  "disk-full", // the host's disk has no room
  "io-failed", // the host failed to read or write
  "tool-missing", // a program of the host that this command needs is not installed
  "guest-failed", // the emulated machine did not do what was asked
  "internal", // a bug in imgbuild
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export interface ErrorDetails {
  /** What the user can change so that it works. One or two sentences. */
  readonly hint?: string;
  /** The facts behind the message, for --json. Only JSON values. */
  readonly data?: Readonly<Record<string, unknown>>;
  /** The error that led to this one. Shown with --verbose. */
  readonly cause?: unknown;
}

/** A failure that is explained to the user: what could not be done, with which value, and what was wanted. */
export class ImgbuildError extends Error {
  override readonly name = "ImgbuildError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.data = details.data ?? {};
  }
}
