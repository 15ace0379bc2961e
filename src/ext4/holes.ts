/**
 * Looks for the holes that nobody has told of: Node.js has no SEEK_HOLE, so a file of a host's folder counts as all data until
 * it has been read. That is worth a second reading only to a tree that does not fit otherwise.
 */
import { ExtentSet } from "../bytes/extent.js";
import { alignUp } from "../bytes/size.js";
import { isZero } from "../bytes/zeros.js";
import type { Content, RegularFile } from "../tree/node.js";
import type { Format } from "./format.js";
import type { Run } from "./geometry.js";
import { mappingOf } from "./mapping.js";
import { fileBlocks, type ScannedFile, type Survey } from "./survey.js";

/** A multiple of every block size. */
const BUFFER_SIZE = 2 ** 20;

/** The blocks of `bytes` that are not all zeros. */
export function nonZeroBlocks(bytes: Uint8Array, blockSize: number): Run[] {
  // Large holes are the common ones, and one long comparison is faster than many short.
  if (isZero(bytes)) return [];
  // Most files are a block long.
  if (bytes.length <= blockSize) return [{ start: 0, end: 1 }];
  const runs: Run[] = [];
  for (let block = 0; block * blockSize < bytes.length; block++) {
    if (isZero(bytes, block * blockSize, (block + 1) * blockSize)) continue;
    const last = runs.at(-1);
    if (last?.end === block) last.end++;
    else runs.push({ start: block, end: block + 1 });
  }
  return runs;
}

/**
 * `survey` with the files whose holes are unknown counted by what is in them. Reads each of them once, to its end. Throws
 * what reading throws.
 */
export async function scanForHoles(survey: Survey, format: Format): Promise<Survey> {
  const folders = [...survey.folders];
  const scanned = new Map<RegularFile, ScannedFile>(survey.scanned);
  const buffer = new Uint8Array(BUFFER_SIZE);
  const { blockSize } = format;
  const mapping = mappingOf(format);
  let { blocks } = survey;
  for (const { node, path, folder } of survey.unknown) {
    const { content } = node;
    const data = await findData(content, blockSize, buffer);
    scanned.set(node, { path, data });
    const found = { size: content.size, data: [...data] };
    const saved = fileBlocks(content, blockSize, mapping) - fileBlocks(found, blockSize, mapping);
    blocks -= saved;
    if (folder >= 0) folders[folder]! -= saved;
  }
  return { ...survey, blocks, folders, unknown: [], scanned };
}

/** The bytes of `content` in blocks that are not all zeros. */
async function findData(content: Content, blockSize: number, buffer: Uint8Array): Promise<ExtentSet> {
  const data = new ExtentSet();
  const reader = await content.open();
  try {
    for (let at = 0; at < content.size; at += buffer.length) {
      const length = Math.min(buffer.length, content.size - at);
      await reader.read(at, buffer.subarray(0, length));
      const bytes = buffer.subarray(0, alignUp(length, blockSize)).fill(0, length);
      for (const { start, end } of nonZeroBlocks(bytes, blockSize)) {
        data.add(at + start * blockSize, Math.min(at + end * blockSize, content.size));
      }
    }
  } finally {
    await reader.close();
  }
  return data;
}
