/**
 * What an output is: something that is made of an assembled image, for one way to flash, update or look at it.
 *
 * To add one:
 * 1. A file of its own in this folder, which exports an Output. It may be loaded without the others.
 * 2. A line in outputs.ts: the name for --format and the profile's `outputs`, what it is in a few words, the outputs whose
 *    files it refers to.
 * 3. What the user has to say about it is a key of the profile of the same name: a schema constant of its own in
 *    src/profile, a field of Plan. Rules that no single key can break go into `check`.
 * 4. A row in docs/outputs.md. A test fails while it is missing.
 *
 * The manifest, checksums, and the removal of what an earlier build made take care of themselves.
 */
import type { ReadableDevice, RecordingDevice } from "../bytes/device.js";
import type { AssembledImage, AssembleOptions } from "../image/assemble.js";
import type { Plan } from "../image/plan.js";
import type { Prepared } from "../image/prepare.js";

/** An image as it was assembled, and what it was assembled from. */
export interface BuiltImage {
  readonly plan: Plan;
  /** Contents of the partitions as trees, bootloader files, kernel arguments. */
  readonly prepared: Prepared;
  /** Where the partitions are, and their ids. */
  readonly assembled: AssembledImage;
  /**
   * The whole user area. `data` is where bytes were written: all else is zeros, is a hole of the host's file and is not to be
   * read. `written` is what belongs to the image: that and zeros which have to be there.
   */
  readonly image: RecordingDevice;
  /** Time for what is made up, number of workers, progress. */
  readonly options: AssembleOptions;
}

/** A file that is written from its beginning to its end. */
export interface AppendedFile {
  /** Appends `bytes`; once it has resolved, the caller may reuse them. Pieces of 64 KiB and more are best. */
  write(bytes: Uint8Array): Promise<void>;
  /** Replaces bytes that were written, for what is known at the end only. */
  rewrite(at: number, bytes: Uint8Array): Promise<void>;
  /** How many bytes were written. */
  readonly size: number;
}

/** Where an output's files go: into the output folder, and all of them at once when the build is complete. */
export interface ArtifactFolder {
  /** A new file of `size` bytes, all zeros. `name` may have folders in it: "tezi/image.json". Each can be made once. */
  create(name: string, size: number): RecordingDevice;
  /** A new file that becomes as long as what is written to it. */
  append(name: string): AppendedFile;
  /** A folder on the same disk for what programs of the host make. What is left in it goes when the build ends. */
  readonly scratch: string;
  /** Has the assembled image kept, as emmc.img. */
  keepImage(): void;
  /** The files that were made so far, by this output and those before it. */
  made(): ReadonlyMap<string, ReadableDevice>;
}

export interface Output {
  /** Throws `profile-invalid` or `layout-conflict` for a plan that the format cannot be made of, before anything is read. */
  check?(plan: Plan): void;
  /** Throws for what the output needs and the build lacks, a file of the bootloader, before anything is written. */
  checkInputs?(plan: Plan, prepared: Prepared): void;
  /** Makes the output's files. They depend on `built` alone: the same image gives the same bytes. */
  write(built: BuiltImage, folder: ArtifactFolder): Promise<void>;
}
