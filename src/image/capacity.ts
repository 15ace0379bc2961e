/** Turns "does not fit" of a file system into what the user has to know: by how much, what is large, which key to set. */
import { alignUp, formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { type InodeShortage, shortageText } from "../ext4/index.js";
import { listLargest } from "../tree/largest.js";
import type { Tree } from "../tree/tree.js";

/** What did not take its content. */
export interface Container {
  /** What messages call it. */
  readonly name: string;
  readonly filesystem: string;
  /** The profile's key or the option that sets its size, up to the value: "partitions.rootfs.size=", "--size ". */
  readonly setting: string;
  /** The same for the setting of how many bytes of an ext4 have one inode. */
  readonly ratioSetting?: string | undefined;
  /** What `setting` has to be for content of so many bytes, where that is not the same. */
  readonly settingFor?: (needed: number) => number;
}

/** As data.largest of errors has it. */
export type Largest = readonly { readonly path: string; readonly bytes: number }[];

/** What the sizes in the list of the largest are, by file system; the sizes of the files themselves where nothing is said. */
const COUNTED: Readonly<Record<string, string>> = {
  squashfs: ", compressed",
  ext4: ", in whole blocks",
};

/** `setting` with a value that is at least `bytes`, as the command line and profiles take it. */
export function remedyText(setting: string, bytes: number): string {
  return `${setting}${alignUp(bytes, 2 ** 20) / 2 ** 20}MiB`;
}

/** The largest as a sentence that follows a hint; nothing when there is none. */
export function largestText(largest: Largest, counted = ""): string {
  if (largest.length === 0) return "";
  return ` The largest in it${counted}: ${largest.map(({ path, bytes }) => `${path} ${formatSize(bytes)}`).join(", ")}.`;
}

/** The error to throw for `error`: explained when it is about capacity or a size, else the same. */
export function explainCapacity(
  error: unknown,
  { name, filesystem, setting, ratioSetting, settingFor = (needed) => needed }: Container,
  tree: Tree | undefined,
): unknown {
  if (!(error instanceof ImgbuildError)) return error;
  const { needed, available } = error.data;
  const remedy = typeof needed === "number" ? remedyText(setting, settingFor(needed)) : undefined;
  // A size that the format itself does not have.
  if (error.code === "layout-conflict") {
    const { alternative } = error.data;
    const or = alternative === undefined ? "" : `, or ${alternative}`;
    const hint = remedy === undefined ? error.hint : `Set ${remedy} or more${or}.`;
    return new ImgbuildError(error.code, `${name}: ${error.message}`, {
      ...(hint !== undefined && { hint }),
      data: { ...error.data, name, remedy },
    });
  }
  if (error.code !== "does-not-fit") return error;
  const known = error.data.largest as Largest | undefined;
  const largest = known ?? (tree === undefined ? [] : listLargest(tree));
  const list = largestText(largest, known === undefined ? "" : COUNTED[filesystem]);
  // No size would do.
  if (typeof needed !== "number" || typeof available !== "number") {
    const hint = `${error.hint ?? ""}${list}`.trim();
    return new ImgbuildError(error.code, `${name}: ${error.message}`, { hint, data: { ...error.data, name, largest } });
  }
  const inodes = error.data.inodes as InodeShortage | undefined;
  const { inodeRatio } = error.data;
  const ratioRemedy =
    inodeRatio === undefined || ratioSetting === undefined ? undefined : `${ratioSetting}${inodeRatio}`;
  const or = ratioRemedy === undefined ? "" : `, or ${ratioRemedy} for fewer inodes`;
  return new ImgbuildError(
    "does-not-fit",
    `${name} needs ${needed} bytes${filesystem === "raw" ? "" : ` as ${filesystem}`}, ${needed - available} more than its ${available}${shortageText(inodes)}`,
    {
      hint: `Set ${remedy} or more${or}, or make it smaller.${list}`,
      data: {
        ...{ name, needed, available, over: needed - available, remedy, largest },
        ...(inodes && { inodes }),
        ...(ratioRemedy !== undefined && { ratioRemedy }),
      },
      cause: error,
    },
  );
}
