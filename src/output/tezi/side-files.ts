/**
 * The files that a profile hands to the Toradex Easy Installer. It looks at them on the module, when what was there is erased
 * already: so they are looked at here. Lengths of names have no limit of its own; theirs is the file system's.
 */
import * as fs from "node:fs";
import { fromBytes } from "../../bytes/bytestring.js";
import { hostReadError } from "../../bytes/host-error.js";
import { detectCompression } from "../../codecs/decompress.js";
import { ImgbuildError } from "../../errors.js";
import { TEZI_FILES, type TeziPlan } from "../../image/plan.js";
import { BLOCK, isHeader } from "../../tree/tar/layout.js";
import { parseEnvironment } from "../../uboot/index.js";

type TeziFile = (typeof TEZI_FILES)[number];

/** Of the list's icons, in pixels: "typically PNG, 40x40". Larger ones do not fit into its rows. */
const ICON_SIZE = 40;
const PNG_SIGNATURE = "\x89PNG\r\n\x1a\n";
const LONGEST_TEXT = 2 ** 24;

/** Throws `source-invalid` for a file that the installer could not use, with the key that names it; `source-unreadable`. */
export function checkSideFiles(tezi: TeziPlan): void {
  for (const key of TEZI_FILES) {
    const file = tezi[key];
    if (file !== undefined) CHECKS[key](`tezi.${key}`, file);
  }
}

const CHECKS: Readonly<Record<TeziFile, (key: string, file: string) => void>> = {
  environment: (key, file) => void parseEnvironment(fromBytes(textOf(key, file)), file),
  prepareScript: checkScript,
  wrapupScript: checkScript,
  errorScript: checkScript,
  icon: checkIcon,
  marketing: checkTar,
  license: (key, file) => void textOf(key, file),
  releaseNotes: (key, file) => void textOf(key, file),
};

function invalid(key: string, file: string, problem: string, hint: string): ImgbuildError {
  return new ImgbuildError("source-invalid", `${key}: ${file} ${problem}`, { hint, data: { key, file } });
}

/** Its first `length` bytes, or as many as there are. */
function headOf(file: string, length: number): Uint8Array {
  try {
    const fd = fs.openSync(file, "r");
    try {
      const bytes = new Uint8Array(length);
      return bytes.subarray(0, fs.readSync(fd, bytes, 0, length, 0));
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw hostReadError(file, error);
  }
}

function textOf(key: string, file: string): Uint8Array {
  const bytes = headOf(file, Math.min(fs.statSync(file).size, LONGEST_TEXT));
  const isUtf8 = () => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  if (bytes.length === 0) throw invalid(key, file, "is empty", `Leave ${key} out, or name a text.`);
  if (bytes.includes(0) || !isUtf8()) throw invalid(key, file, "is no text in UTF-8", "Save it as UTF-8.");
  return bytes;
}

/** The kernel of the installer starts it: without an interpreter, not at all; with a CR behind its name, not either. */
function checkScript(key: string, file: string): void {
  const [first] = fromBytes(headOf(file, 256)).split("\n");
  if (!first!.startsWith("#!")) {
    throw invalid(key, file, "does not begin with #!", "Begin it with the line #!/bin/sh.");
  }
  if (first!.endsWith("\r")) {
    throw invalid(key, file, "has lines that end in CR LF, which no shell takes", "Save it with LF alone.");
  }
}

/** PNG (ISO/IEC 15948), sections 5.2 and 11.2.2: the signature, then the chunk IHDR with width and height. */
function checkIcon(key: string, file: string): void {
  const hint = `Name a PNG of ${ICON_SIZE} by ${ICON_SIZE} pixels.`;
  const head = headOf(file, 24);
  const text = fromBytes(head);
  if (!text.startsWith(PNG_SIGNATURE) || text.slice(12, 16) !== "IHDR" || head.length < 24) {
    throw invalid(key, file, "is no PNG", hint);
  }
  const view = new DataView(head.buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (width === ICON_SIZE && height === ICON_SIZE) return;
  throw invalid(key, file, `has ${width} by ${height} pixels`, hint);
}

/** The tar that unpacks it on the module looks into compressed ones itself. */
function checkTar(key: string, file: string): void {
  const head = headOf(file, BLOCK);
  if (detectCompression(head) !== undefined || (head.length === BLOCK && isHeader(head))) return;
  throw invalid(key, file, "is no tar", "Make one of the pictures: tar cf marketing.tar *.png");
}
