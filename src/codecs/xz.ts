/**
 * Blocks as .xz files of their own (The .xz File Format 1.2), in the form that the kernels' decoder reads: one stream with one
 * block, CRC32, LZMA2, and before it at most one BCJ filter.
 */
import { ImgbuildError } from "../errors.js";
import { BCJ_IDS, type BcjFilter } from "./bcj.js";
import { BlockBuffers } from "./c-library.js";
import type { Compressor, Decompressor } from "./codec.js";
import { type Liblzma, LZMA, loadLiblzma } from "./liblzma.js";
import { CONTEXTS, chooseContext, type LzmaContext } from "./lzma-context.js";
import { oncePerThread } from "./wasm.js";

const LZMA2_ID = 0x21;
const CHECK_CRC32 = 1;

export interface XzOptions {
  /**
   * 0 (fast) to 9 (small). 0 to 6 search as xz does at these levels; above, each block is compressed with 2, 3 and 4 choices
   * of what LZMA takes as context, and the smallest result is kept.
   */
  readonly level: number;
  /** How far back matches reach, in bytes: 4096 or more, 2^n or 2^n + 2^(n+1). A decoder needs as much memory. */
  readonly dictionarySize: number;
  /** Each block is compressed without a filter and with each of these; the smallest result is kept, of equals the first. */
  readonly filters?: readonly BcjFilter[];
}

/** Of lzma_options_lzma (lzma/lzma12.h) what makes the search thorough. */
interface Search {
  /** LZMA_MODE_FAST or LZMA_MODE_NORMAL. */
  readonly mode: 1 | 2;
  /** LZMA_MF_HC3, HC4 or BT4. */
  readonly finder: 3 | 4 | 0x14;
  /** A match of this length is taken without looking further. */
  readonly nice: number;
  /** Candidates that are tried for each match; 0: by `nice`. */
  readonly depth: number;
}

/** By level, as xz has them (lzma_lzma_preset); its levels above 6 only have larger dictionaries. */
const PRESETS: readonly Search[] = [
  { mode: 1, finder: 3, nice: 128, depth: 4 },
  { mode: 1, finder: 4, nice: 128, depth: 8 },
  { mode: 1, finder: 4, nice: 273, depth: 24 },
  { mode: 1, finder: 4, nice: 273, depth: 48 },
  { mode: 2, finder: 0x14, nice: 16, depth: 0 },
  { mode: 2, finder: 0x14, nice: 32, depth: 0 },
  { mode: 2, finder: 0x14, nice: 64, depth: 0 },
];

/** lzma_filter: u64 id, pointer to options. A chain has at most a BCJ filter, LZMA2, and the end. */
const FILTER_SIZE = 16;
const CHAIN_SIZE = 3 * FILTER_SIZE;
const END_OF_CHAIN = 2n ** 64n - 1n;
/** lzma_options_lzma, with what it reserves. */
const LZMA_OPTIONS_SIZE = 112;

/** What decoding may take: as unsquashfs limits it. A dictionary of 1 MiB needs 1.1 MB. */
const DECODER_MEMORY = 32n * 2n ** 20n;

/**
 * Where the structures of a call are. They are written before each, so everyone can have the same.
 *
 *     to encode   lzma_options_lzma | chain of filters | position in the output, 32 bits
 *     to decode   memory limit, 64 bits | position in the input, 32 bits | position in the output, 32 bits
 */
const ENCODER_STRUCTURES = LZMA_OPTIONS_SIZE + CHAIN_SIZE + 4;
const DECODER_STRUCTURES = 16;

interface Library {
  readonly lzma: Liblzma;
  readonly buffers: BlockBuffers;
  readonly encoderStructures: number;
  readonly decoderStructures: number;
}

/** The library of a thread. It keeps nothing between two blocks, so everyone can have the same. */
const library = oncePerThread(async (): Promise<Library> => {
  const lzma = await loadLiblzma();
  return {
    lzma,
    buffers: new BlockBuffers(lzma.heap),
    encoderStructures: lzma.heap.allocate(ENCODER_STRUCTURES),
    decoderStructures: lzma.heap.allocate(DECODER_STRUCTURES),
  };
});

/** Throws an `internal` error for options that are impossible. */
export async function xzCompressor({ level, dictionarySize, filters = [] }: XzOptions): Promise<Compressor> {
  const preset = PRESETS[Math.min(level, PRESETS.length - 1)];
  if (preset === undefined || !Number.isInteger(level) || level > 9) {
    throw new ImgbuildError("internal", `there is no xz level ${level}`);
  }
  const { lzma, buffers, encoderStructures: options } = await library();
  const { heap } = lzma;
  const { input, output } = buffers;
  const chain = options + LZMA_OPTIONS_SIZE;
  const outputPosition = chain + CHAIN_SIZE;
  const { mode, finder, nice, depth } = preset;

  const writeOptions = ({ lc, lp, pb }: LzmaContext) => {
    heap.bytes.fill(0, options, chain);
    for (const [i, value] of [dictionarySize, 0, 0, lc, lp, pb, mode, nice, finder, depth].entries()) {
      heap.view.setUint32(options + 4 * i, value, true);
    }
  };

  const writeChain = (ids: readonly number[]) => {
    for (const [i, id] of ids.entries()) {
      heap.view.setBigUint64(chain + i * FILTER_SIZE, BigInt(id), true);
      heap.view.setUint32(chain + i * FILTER_SIZE + 8, id === LZMA2_ID ? options : 0, true);
    }
    heap.view.setBigUint64(chain + ids.length * FILTER_SIZE, END_OF_CHAIN, true);
  };

  /** Compresses what is at `from` with a chain of filters. Returns the size, or 0 when it is more than `room`. */
  const encode = (ids: readonly number[], from: number, length: number, to: number, room: number): number => {
    writeChain(ids);
    heap.view.setUint32(outputPosition, 0, true);
    const result = lzma.encodeBuffer(chain, CHECK_CRC32, 0, from, length, to, outputPosition, room);
    if (result === LZMA.bufError) return 0;
    if (result !== LZMA.ok) throw new ImgbuildError("internal", `liblzma cannot compress: error ${result}`);
    return heap.view.getUint32(outputPosition, true);
  };

  const chains = [[LZMA2_ID], ...filters.map((name) => [BCJ_IDS[name], LZMA2_ID])];
  return {
    compress(bytes, result) {
      const from = input.fill(bytes);
      const to = output.reserve(result.length);
      let best = 0;
      for (const context of contexts(bytes, level)) {
        writeOptions(context);
        for (const ids of chains) {
          // Once there is a result, only a smaller one is of use.
          const size = encode(ids, from, bytes.length, to, best === 0 ? result.length : best - 1);
          if (size === 0) continue;
          best = size;
          result.set(heap.bytes.subarray(to, to + size));
        }
      }
      return best;
    },
  };
}

/** What to try for a block, the best guess first. */
function contexts(bytes: Uint8Array, level: number): readonly LzmaContext[] {
  const guess = chooseContext(bytes);
  const others = CONTEXTS.filter((context) => context !== guess);
  return [guess, ...others.slice(0, Math.max(0, level - (PRESETS.length - 1)))];
}

/** The decompressor of a thread. Takes blocks with every filter that liblzma knows and every check; those of SquashFS have CRC32. */
export const xzDecompressor = oncePerThread(async (): Promise<Decompressor> => {
  const { lzma, buffers, decoderStructures: memoryLimit } = await library();
  const { heap } = lzma;
  const { input, output } = buffers;
  const inputPosition = memoryLimit + 8;
  const outputPosition = memoryLimit + 12;
  return {
    decompress(bytes, result) {
      const from = input.fill(bytes);
      const to = output.reserve(result.length);
      heap.view.setBigUint64(memoryLimit, DECODER_MEMORY, true);
      heap.view.setUint32(inputPosition, 0, true);
      heap.view.setUint32(outputPosition, 0, true);
      const code = lzma.decodeBuffer(
        memoryLimit,
        0,
        0,
        from,
        inputPosition,
        bytes.length,
        to,
        outputPosition,
        result.length,
      );
      // Blocks that ask for too much reach the limit first: this is not their fault.
      if (code === LZMA.memError) throw new ImgbuildError("internal", "liblzma got no memory to decompress a block");
      if (code !== LZMA.ok) throw damaged(DAMAGE[code] ?? `liblzma reports error ${code}`);
      if (heap.view.getUint32(inputPosition, true) !== bytes.length) throw damaged("something follows the xz stream");
      const size = heap.view.getUint32(outputPosition, true);
      result.set(heap.bytes.subarray(to, to + size));
      return size;
    },
  };
});

const DAMAGE: Readonly<Record<number, string>> = {
  [LZMA.memLimitError]: "it asks for more memory than a block needs",
  [LZMA.formatError]: "it is no xz stream",
  [LZMA.optionsError]: "it has options that liblzma does not know",
  [LZMA.dataError]: "a checksum or a length does not match, or it ends early",
  [LZMA.bufError]: "it ends early, or becomes longer than a block",
};

function damaged(reason: string): ImgbuildError {
  return new ImgbuildError("image-corrupt", `an xz block is damaged: ${reason}`);
}
