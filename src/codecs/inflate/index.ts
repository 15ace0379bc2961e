/**
 * A decoder of DEFLATE (RFC 1951) in the zlib container (RFC 1950). What becomes of an input, and where:
 *
 *     input ─ buffers.ts
 *       │     this file takes off the container: two bytes before the stream, its checksum after it
 *       ├─ bit-reader.ts
 *       ├─ blocks.ts    one block after the other
 *       │    └─ codes.ts, tables.ts   a block's codes, as tables that are indexed by the input's bits
 *       └─ symbols.ts   literals and matches ─ copy.ts
 *     output
 *
 * WebAssembly does not notice when a table or a buffer is overrun, so each is as large as the worst input can make use
 * of, and the comments say why that is enough. The numbers of the format are those of the encoder,
 * ../deflate/format.ts.
 */
import { adler32 } from "../deflate/checksums";
import { beginReading, inputEnd, nextByte, seek } from "./bit-reader";
import { decodeBlocks } from "./blocks";
import { INPUT, MAX_INPUT, MAX_OUTPUT, OUTPUT } from "./buffers";
import { prepareCodes } from "./codes";
import { prepareCopy } from "./copy";
import { CHECKSUM, ENDS_EARLY, NO_ZLIB_HEADER, PRESET_DICTIONARY, TRAILING_BYTES } from "./failures";

// The constants in failures.ts have to be all that are exported: inflate.ts beside this folder has words for each.
export * from "./failures";

prepareCodes();
prepareCopy();

/** Where the input goes. */
export function input(): usize {
  return INPUT;
}

/** Where the output comes. */
export function output(): usize {
  return OUTPUT;
}

/** The longest input, in bytes. */
export function maxInput(): i32 {
  return MAX_INPUT;
}

/** The longest output, in bytes. */
export function maxOutput(): i32 {
  return MAX_OUTPUT;
}

/** RFC 1950, section 2.2: the method DEFLATE and the largest window, and the flag that names a preset dictionary. */
const METHOD: u32 = 8;
const MAX_WINDOW: u32 = 7;
const DICTIONARY: u32 = 1 << 5;
const HEADER: usize = 2;
const TRAILER: usize = 4;

/**
 * Decodes the `length` bytes at `input()`. Returns how many bytes are at `output()`, at most `limit` and `maxOutput()`,
 * or a failure (failures.ts).
 *
 * Matches may reach further back than the window that the header names: zlib and Linux accept that too.
 */
export function decompress(length: i32, limit: i32): i32 {
  beginReading(length);
  if (length < <i32>HEADER) return ENDS_EARLY;
  const method: u32 = load<u8>(INPUT);
  const flags: u32 = load<u8>(INPUT + 1);
  if ((method & 15) != METHOD || method >> 4 > MAX_WINDOW || ((method << 8) | flags) % 31 != 0) return NO_ZLIB_HEADER;
  if (flags & DICTIONARY) return PRESET_DICTIONARY;
  seek(INPUT + HEADER);
  const end = decodeBlocks(OUTPUT, OUTPUT + min<i32>(limit, MAX_OUTPUT));
  if (end < 0) return end;
  const trailer = nextByte();
  if (trailer + TRAILER > inputEnd) return ENDS_EARLY;
  const size = end - <i32>OUTPUT;
  if (bswap<u32>(load<u32>(trailer)) != adler32(OUTPUT, size, 1)) return CHECKSUM;
  return trailer + TRAILER < inputEnd ? TRAILING_BYTES : size;
}
