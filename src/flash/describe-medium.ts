/** What is on a medium now, for the question whether it may go. */
import { formatSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { openImage, type Volume } from "../image/open-image.js";
import type { BlockDevice } from "./block-device.js";
import type { Medium } from "./medium.js";

/** One line about the medium, and one about each partition. Never throws for what cannot be read: that goes all the same. */
export async function describeMedium(medium: Medium, device: BlockDevice | undefined): Promise<string[]> {
  const removable = device?.removable ? ", removable" : "";
  const what = device === undefined ? "" : `${device.description}, `;
  return [`${medium.path}: ${what}${formatSize(medium.size)}${removable}`, ...(await contentOf(medium))];
}

async function contentOf(medium: Medium): Promise<string[]> {
  try {
    const { table, volumes } = await openImage(medium);
    const lines = await Promise.all(volumes.map(volumeLine));
    if (table === undefined) return lines;
    return lines.length === 0 ? [`  an empty ${table.kind.toUpperCase()}`] : lines;
  } catch (error) {
    if (!(error instanceof ImgbuildError)) throw error;
    return ["  no partition table and no file system that is known here"];
  }
}

async function volumeLine({ partition, device, kind, open }: Volume): Promise<string> {
  let facts: { type: string; label?: string | undefined } | undefined;
  try {
    facts = kind === undefined ? undefined : await (await open()).facts();
  } catch (error) {
    if (!(error instanceof ImgbuildError)) throw error;
  }
  const name = facts?.label ?? partition?.name;
  return [
    partition === undefined ? " " : `  partition ${partition.number}:`,
    formatSize(device.size),
    facts?.type ?? kind ?? "unknown content",
    ...(name === undefined || name === "" ? [] : [`"${name}"`]),
  ].join(" ");
}
