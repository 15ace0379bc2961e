/**
 * Reads a block map, as bmaptool makes and reads them: which blocks of an image have to be written, and their checksums. The
 * versions 1.3 (SHA-1), 1.4 and 2.0 differ only in how they call the checksums.
 */
import { createHash, type Hash } from "node:crypto";
import type { Extent } from "../bytes/extent.js";
import { ImgbuildError } from "../errors.js";

/** Blocks in a row, in bytes; the last block may be cut at the image's end. */
export interface MappedRange extends Extent {
  /** Of the image's bytes in the range, in hexadecimal of lower case; undefined where the map has none. */
  readonly checksum?: string | undefined;
}

export interface BlockMap {
  /** In bytes, of the image. */
  readonly imageSize: number;
  /** A name that node:crypto knows: "sha256". */
  readonly checksumType: string;
  /** Ascending, not overlapping. */
  readonly ranges: readonly MappedRange[];
}

/** Throws a `source-invalid` error for what is no block map, or was changed since it was made. `shown`: its name. */
export function readBlockMap(text: string, shown: string): BlockMap {
  const invalid = (what: string) =>
    new ImgbuildError("source-invalid", `${shown} is not a block map that can be used: ${what}`, {
      hint: "Make it again from the image: imgbuild build --format bmap, or bmaptool create. Or write all of the image: --whole.",
    });
  // Comments say the same as the elements, for people.
  const body = withoutComments(text);
  const value = (name: string) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(body)?.[1]?.trim();
  const number = (name: string) => {
    const found = value(name) ?? "";
    if (!/^\d+$/.test(found)) throw invalid(`it has no ${name}`);
    return Number(found);
  };
  const version = /<bmap\s+version\s*=\s*["'](\d+)\.(\d+)["']/.exec(body);
  if (version === null) throw invalid("there is no <bmap> with a version in it");
  if (Number(version[1]) > 2) throw invalid(`its version is ${version[1]}.${version[2]}, and 1 and 2 are known`);
  const checksumType = value("ChecksumType") ?? "sha1";
  checkFile(text, checksumType, value("BmapFileChecksum") ?? value("BmapFileSHA1"), invalid);
  const checksumOf = (attributes: string) => {
    const said = /\b(?:chksum|sha1)\s*=\s*["']([^"']*)["']/.exec(attributes)?.[1];
    if (said !== undefined && !/^[0-9a-f]+$/i.test(said)) throw invalid(`"${said}" is no checksum`);
    return said?.toLowerCase();
  };

  const imageSize = number("ImageSize");
  const blockSize = number("BlockSize");
  const ranges: MappedRange[] = [];
  for (const [, attributes, first, last] of body.matchAll(/<Range([^<>]*)>\s*(\d+)\s*(?:-\s*(\d+)\s*)?<\/Range>/g)) {
    const start = Number(first) * blockSize;
    const end = Math.min((Number(last ?? first) + 1) * blockSize, imageSize);
    if (end <= start || start < (ranges.at(-1)?.end ?? 0)) throw invalid(`its range ${first} is out of order`);
    ranges.push({ start, end, checksum: checksumOf(attributes!) });
  }
  // Nothing would be written, and that be called a success.
  if (ranges.length === 0) throw invalid("it names no block of the image");
  const blocks = ranges.reduce((sum, { start, end }) => sum + Math.ceil((end - start) / blockSize), 0);
  if (blocks !== number("MappedBlocksCount")) {
    throw invalid(`its ranges have ${blocks} blocks, and it says that there are ${number("MappedBlocksCount")}`);
  }
  return { imageSize, checksumType, ranges };
}

/** Read once from its start to its end, which no regular expression does of text that opens comments and never closes them. */
function withoutComments(text: string): string {
  const [first, ...others] = text.split("<!--");
  const behind = (part: string) => (part.includes("-->") ? part.slice(part.indexOf("-->") + 3) : "");
  return [first, ...others.map(behind)].join("");
}

/** The file's own checksum is taken with zeros in its own place. */
function checkFile(text: string, type: string, said: string | undefined, invalid: (what: string) => Error): void {
  let hash: Hash;
  try {
    hash = createHash(type);
  } catch {
    throw invalid(`its checksums are of the kind "${type}"`);
  }
  if (said === undefined) return;
  const found = hash.update(text.replace(said, "0".repeat(said.length))).digest("hex");
  if (found !== said.toLowerCase()) throw invalid(`its own ${type} is ${found}, and it says ${said}`);
}
