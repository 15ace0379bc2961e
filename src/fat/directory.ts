/** A directory's entries, as bytes. "FAT Directory Structure" and "Long Directory Entries" (fatgen103). */
import {
  ATTRIBUTE,
  directoryEntry,
  ENTRY_SIZE,
  LAST_LONG_ENTRY,
  LONG_NAME_ATTRIBUTES,
  longNameEntry,
  UNITS_PER_LONG_ENTRY,
} from "./layout.js";
import { shortNameChecksum } from "./names.js";
import type { PlannedDirectory, PlannedFile } from "./plan.js";
import { encodeTime } from "./time.js";

const shortName = (text: string) => Uint8Array.from(text.padEnd(11), (character) => character.charCodeAt(0));
const OWN_NAME = shortName(".");
const PARENT_NAME = shortName("..");

/** All three times of an entry are the one that the tree has. */
function timesOf(seconds: number) {
  const { date, time, tenths } = encodeTime(seconds);
  return {
    createdTenths: tenths,
    createdTime: time,
    createdDate: date,
    accessedDate: date,
    modifiedTime: time,
    modifiedDate: date,
  };
}

const clusterOf = (cluster: number) => ({ clusterHigh: cluster >>> 16, clusterLow: cluster & 0xffff });

function writeLongName(into: Uint8Array, at: number, name: string, checksum: number): number {
  const parts = Math.ceil(name.length / UNITS_PER_LONG_ENTRY);
  for (let part = parts; part >= 1; part--, at += ENTRY_SIZE) {
    const units = new Array<number>(UNITS_PER_LONG_ENTRY).fill(0xffff);
    for (let i = 0; i < UNITS_PER_LONG_ENTRY; i++) {
      const index = (part - 1) * UNITS_PER_LONG_ENTRY + i;
      if (index < name.length) units[i] = name.charCodeAt(index);
      else if (index === name.length) units[i] = 0;
    }
    longNameEntry.write(into, at, {
      ordinal: part === parts ? part | LAST_LONG_ENTRY : part,
      units1: units.slice(0, 5),
      attributes: LONG_NAME_ATTRIBUTES,
      checksum,
      units2: units.slice(5, 11),
      units3: units.slice(11),
    });
  }
  return at;
}

/** The entries of `directory`, and zeros up to `room` bytes: what comes behind the last entry has to be 0. `label` gives the volume's, which the root holds. */
export function encodeDirectory(
  directory: PlannedDirectory,
  room: number,
  label: { readonly label: string; readonly time: number } | undefined,
): Uint8Array {
  const bytes = new Uint8Array(room);
  let at = 0;
  const put = (values: Parameters<typeof directoryEntry.write>[2]) => {
    directoryEntry.write(bytes, at, values);
    at += ENTRY_SIZE;
  };
  if (directory.parent !== undefined) {
    const own = { attributes: ATTRIBUTE.directory, ...timesOf(directory.node.mtime.seconds) };
    // The root is cluster 0 here, on FAT32 too, where it has a number.
    const parent = directory.parent.parent === undefined ? 0 : directory.parent.firstCluster;
    put({ ...own, name: OWN_NAME, ...clusterOf(directory.firstCluster) });
    put({ ...own, name: PARENT_NAME, ...clusterOf(parent) });
  } else if (label !== undefined) {
    put({ name: shortName(label.label), attributes: ATTRIBUTE.label, ...timesOf(label.time) });
  }
  for (const { name, target } of directory.entries) {
    if (name.long !== undefined) at = writeLongName(bytes, at, name.long, shortNameChecksum(name.short));
    put({
      name: name.short,
      attributes: isDirectory(target) ? ATTRIBUTE.directory : ATTRIBUTE.archive,
      caseFlags: name.caseFlags,
      ...timesOf(target.node.mtime.seconds),
      ...clusterOf(target.firstCluster),
      size: isDirectory(target) ? 0 : target.bytes,
    });
  }
  return bytes;
}

function isDirectory(target: PlannedDirectory | PlannedFile): target is PlannedDirectory {
  return "entries" in target;
}
