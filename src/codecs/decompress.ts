/**
 * Streaming decoders for whole files: gzip, xz and zstd. All three check the checksums that the file carries, take files
 * of several members, streams or frames, and keep no more in memory than the format's own window.
 */
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { ImgbuildError } from "../errors.js";
import { LZMA, loadLiblzma } from "./liblzma.js";
import { loadLibzstdDecoder } from "./libzstd-decoder.js";
import { oncePerThread } from "./wasm.js";

export type CompressionFormat = "gzip" | "xz" | "zstd";

const MAGICS: readonly [CompressionFormat, readonly number[]][] = [
  ["gzip", [0x1f, 0x8b]], // RFC 1952, section 2.3.1
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]], // The .xz File Format, section 2.1.1.1
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]], // RFC 8878, section 3.1.1
];

/** How a file that begins with `head` is compressed; undefined when in none of these ways. Six bytes are enough. */
export function detectCompression(head: Uint8Array): CompressionFormat | undefined {
  return MAGICS.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0];
}

/**
 * The decompressed bytes of `source`. Throws a `source-invalid` error when the data is damaged or ends early,
 * `source-unsupported` when it uses a part of its format that the decoder lacks: xz with filters or checks that liblzma does not
 * know or a dictionary of more than some 200 MiB, zstd with windows above 128 MiB. Errors of `source` itself pass through.
 */
export function decompress(
  format: CompressionFormat,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  return DECODERS[format](source);
}

const DECODERS: Readonly<
  Record<CompressionFormat, (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array, void>>
> = { gzip, xz: unxz, zstd };

const HINT = "The file may have been cut short or damaged on its way: compare its checksum with the original's.";

async function* gzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const gunzip = createGunzip({ chunkSize: 2 ** 18 });
  // The iteration below reports every error; pipeline only wants to be told who listens.
  pipeline(Readable.from(source), gunzip, () => {});
  try {
    yield* gunzip;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith("Z_")) throw error;
    throw new ImgbuildError("source-invalid", `the gzip data is damaged: ${message}`, { hint: HINT, cause: error });
  }
}

/** What lzma_ret means for the user. */
const XZ_ERRORS: Readonly<Record<number, ["source-invalid" | "source-unsupported", string]>> = {
  [LZMA.unsupportedCheck]: ["source-unsupported", "the xz data has a check that liblzma does not know"],
  [LZMA.memError]: ["source-unsupported", "the xz data needs a larger dictionary than there is memory for"],
  [LZMA.formatError]: ["source-invalid", "the xz data is followed by something else"],
  [LZMA.optionsError]: ["source-unsupported", "the xz data uses a filter that liblzma does not know"],
  [LZMA.dataError]: ["source-invalid", "the xz data is damaged: a checksum or a length does not match"],
  [LZMA.bufError]: ["source-invalid", "the xz data is damaged: it ends early"],
};

/** Of lzma_stream (lzma/base.h): its size, and where the fields are that are used. */
const STREAM = { size: 88, nextIn: 0, availableIn: 4, nextOut: 16, availableOut: 20 } as const;
const RUN = 0;
const FINISH = 3;
const TELL_UNSUPPORTED_CHECK = 2;
const CONCATENATED = 8;
const NO_LIMIT = 2n ** 64n - 1n;

const XZ_BUFFER = 2 ** 18;
/** An instance's memory never shrinks: one that had a larger dictionary is not used again. */
const XZ_KEPT_MEMORY = 2 ** 24;
let liblzma = oncePerThread(loadLiblzma);

async function* unxz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const lib = await liblzma();
  const { heap } = lib;
  // One allocation: input bytes, output bytes, then lzma_stream, which begins as zeros.
  const inBytes = heap.allocate(2 * XZ_BUFFER + STREAM.size);
  const outBytes = inBytes + XZ_BUFFER;
  const stream = outBytes + XZ_BUFFER;
  heap.bytes.fill(0, stream, stream + STREAM.size);
  const field = (name: keyof typeof STREAM) => heap.view.getUint32(stream + STREAM[name], true);
  const setField = (name: keyof typeof STREAM, value: number) =>
    heap.view.setUint32(stream + STREAM[name], value, true);

  /** What the bytes in the input buffer become. `action` says whether they are the last ones. */
  function* decode(length: number, action: typeof RUN | typeof FINISH): Generator<Uint8Array, void> {
    setField("nextIn", inBytes);
    setField("availableIn", length);
    for (let more = true; more; ) {
      setField("nextOut", outBytes);
      setField("availableOut", XZ_BUFFER);
      const result = lib.code(stream, action);
      const produced = XZ_BUFFER - field("availableOut");
      if (produced > 0) yield heap.bytes.slice(outBytes, outBytes + produced);
      if (result === LZMA.streamEnd) return;
      // With a full output buffer more may be waiting; without, no progress only says that there was nothing to do.
      const idle = result === LZMA.bufError && action === RUN;
      if (result !== LZMA.ok && !idle) throw xzError(result);
      more = !idle && (action === FINISH || produced === XZ_BUFFER || field("availableIn") > 0);
    }
  }

  try {
    const started = lib.startDecoder(stream, NO_LIMIT, TELL_UNSUPPORTED_CHECK | CONCATENATED);
    if (started !== LZMA.ok) throw xzError(started);
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += XZ_BUFFER) {
        const part = chunk.subarray(at, at + XZ_BUFFER);
        heap.bytes.set(part, inBytes);
        yield* decode(part.length, RUN);
      }
    }
    yield* decode(0, FINISH);
  } finally {
    lib.end(stream);
    heap.free(inBytes);
    if (heap.bytes.length > XZ_KEPT_MEMORY) liblzma = oncePerThread(loadLiblzma);
  }
}

function xzError(result: number): ImgbuildError {
  const [code, message] = XZ_ERRORS[result] ?? ["source-invalid", `liblzma reports error ${result}`];
  const hint = code === "source-invalid" ? HINT : "Compress it again with the defaults of xz.";
  return new ImgbuildError(code, message, { hint });
}

const ZSTD_BUFFER = 2 ** 18;
/** ZSTD_ErrorCode (zstd_errors.h) of frames with a larger window than libzstd accepts, which is 128 MiB. */
const ZSTD_WINDOW_TOO_LARGE = 16;
const ZSTD_ERRORS: Readonly<Record<number, string>> = {
  10: "something that is no zstd frame stands where one should begin",
  20: "a block is corrupt",
  22: "a checksum does not match",
};

async function* zstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const lib = await loadLibzstdDecoder();
  const { heap } = lib;
  const context = lib.createContext();
  // One allocation: input bytes, output bytes, then ZSTD_inBuffer and ZSTD_outBuffer (pointer, size, position).
  const inBytes = heap.allocate(2 * ZSTD_BUFFER + 24);
  const outBytes = inBytes + ZSTD_BUFFER;
  const input = outBytes + ZSTD_BUFFER;
  const output = input + 12;
  const setBuffer = (at: number, pointer: number, size: number) => {
    for (const [i, value] of [pointer, size, 0].entries()) heap.view.setUint32(at + 4 * i, value, true);
  };
  let wanted = 0;
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += ZSTD_BUFFER) {
        const part = chunk.subarray(at, at + ZSTD_BUFFER);
        heap.bytes.set(part, inBytes);
        setBuffer(input, inBytes, part.length);
        let consumed = 0;
        let produced = 0;
        // A full output buffer means that more may be waiting, except where a frame has just ended.
        while (consumed < part.length || (produced === ZSTD_BUFFER && wanted !== 0)) {
          setBuffer(output, outBytes, ZSTD_BUFFER);
          wanted = lib.decompressStream(context, output, input);
          if (wanted < 0 && wanted > -200) throw zstdError(-wanted);
          consumed = heap.view.getUint32(input + 8, true);
          produced = heap.view.getUint32(output + 8, true);
          if (produced > 0) yield heap.bytes.slice(outBytes, outBytes + produced);
        }
      }
    }
  } finally {
    heap.free(inBytes);
    lib.freeContext(context);
  }
  if (wanted !== 0)
    throw new ImgbuildError("source-invalid", "the zstd data is damaged: it ends early", { hint: HINT });
}

function zstdError(code: number): ImgbuildError {
  if (code === ZSTD_WINDOW_TOO_LARGE) {
    return new ImgbuildError("source-unsupported", "the zstd data needs a window of more than 128 MiB", {
      hint: "Compress it again with --long=27 or less.",
    });
  }
  const reason = ZSTD_ERRORS[code] ?? `libzstd reports error ${code}`;
  return new ImgbuildError("source-invalid", `the zstd data is damaged: ${reason}`, { hint: HINT });
}
