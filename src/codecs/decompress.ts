/**
 * Streaming decoders for whole files: gzip, xz and zstd. All three check the checksums that the file carries, take files
 * of several members, streams or frames, and keep no more in memory than the format's own window. The decoders of xz and zstd are loaded when a file needs them.
 */
import { pipeline, Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { createGunzip } from "node:zlib";
import { ImgbuildError } from "../errors.js";

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
 * `source-unsupported` when it uses a part of its format that the decoder lacks: xz with filters other than LZMA2 or checks
 * other than CRC32 and CRC64, zstd with windows above 128 MiB. Errors of `source` itself pass through.
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

/** What enum xz_ret of xz-embedded (linux/xz.h), the decoder inside xz-decompress, means for the user. */
const XZ_ERRORS: Readonly<Record<number, ["source-invalid" | "source-unsupported", string]>> = {
  2: ["source-unsupported", "the xz data has a check other than CRC32 and CRC64"],
  3: ["source-unsupported", "the xz data needs a larger dictionary than there is memory for"],
  4: ["source-unsupported", "the xz data needs a larger dictionary than there is memory for"],
  5: ["source-invalid", "the xz data is followed by something else"],
  6: ["source-unsupported", "the xz data uses a filter other than LZMA2, or a check other than CRC32 and CRC64"],
  7: ["source-invalid", "the xz data is damaged: a checksum or a length does not match"],
  8: ["source-invalid", "the xz data is damaged: it ends early"],
};

async function* unxz(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const { default: xz } = await import("xz-decompress");
  try {
    yield* new xz.XzReadableStream(ReadableStream.from(source) as globalThis.ReadableStream<Uint8Array>);
  } catch (error) {
    const result = /^get_next_output failed with error code (\d+)$/.exec((error as Error).message)?.[1];
    const known = XZ_ERRORS[Number(result)];
    if (known === undefined) throw error;
    const [code, message] = known;
    const hint = code === "source-invalid" ? HINT : "Compress it again with the defaults of xz.";
    throw new ImgbuildError(code, message, { hint, cause: error });
  }
}

/** The part of libzstd's streaming interface (zstd.h) that zstddec's WebAssembly exports. Pointers are numbers. */
interface Libzstd {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(size: number): number;
  free(pointer: number): void;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): number;
  /** What libzstd wants next, 0 at the end of a frame, or minus a ZSTD_ErrorCode. */
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

let loading: Promise<Libzstd> | undefined;

/** zstddec's own streaming method never looks at libzstd's error codes, so libzstd is called directly. */
async function loadLibzstd(): Promise<Libzstd> {
  const { ZSTDDecoder } = await import("zstddec/stream");
  let library: Libzstd | undefined;
  const decoder = new ZSTDDecoder();
  decoder._init = (result) => {
    library = result.instance.exports as unknown as Libzstd;
    ZSTDDecoder.prototype._init(result);
  };
  await decoder.init();
  if (library === undefined) throw new ImgbuildError("internal", "zstddec was loaded by someone else before");
  return library;
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
  loading ??= loadLibzstd();
  const lib = await loading;
  const context = lib.ZSTD_createDCtx();
  // One allocation: input bytes, output bytes, then ZSTD_inBuffer and ZSTD_outBuffer (pointer, size, position).
  const inBytes = lib.malloc(2 * ZSTD_BUFFER + 24);
  const outBytes = inBytes + ZSTD_BUFFER;
  const input = outBytes + ZSTD_BUFFER;
  const output = input + 12;
  let wanted = 0;
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; at += ZSTD_BUFFER) {
        const part = chunk.subarray(at, at + ZSTD_BUFFER);
        new Uint8Array(lib.memory.buffer).set(part, inBytes);
        new Uint32Array(lib.memory.buffer, input, 3).set([inBytes, part.length, 0]);
        let consumed = 0;
        let produced = 0;
        // A full output buffer means that more may be waiting, except where a frame has just ended.
        while (consumed < part.length || (produced === ZSTD_BUFFER && wanted !== 0)) {
          // The views are made anew each time: growing the memory detaches them.
          new Uint32Array(lib.memory.buffer, output, 3).set([outBytes, ZSTD_BUFFER, 0]);
          wanted = lib.ZSTD_decompressStream(context, output, input);
          if (wanted < 0 && wanted > -200) throw zstdError(-wanted);
          consumed = new Uint32Array(lib.memory.buffer, input, 3)[2]!;
          produced = new Uint32Array(lib.memory.buffer, output, 3)[2]!;
          if (produced > 0) yield new Uint8Array(lib.memory.buffer, outBytes, produced).slice();
        }
      }
    }
  } finally {
    lib.free(inBytes);
    lib.ZSTD_freeDCtx(context);
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
