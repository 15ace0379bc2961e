/** liblzo2, which nobody here wrote, through Python's ctypes: many blocks in one process. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { TestContext } from "node:test";
import { lacks, unavailable } from "../support/tools.js";

const LIBRARY = "liblzo2.so.2";

/** The compressors, in the order of squashfs-tools' numbers, which begin at 0. All decompress alike. */
export const ALGORITHMS = ["lzo1x_1", "lzo1x_1_11", "lzo1x_1_12", "lzo1x_1_15", "lzo1x_999"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/**
 * Requests on the standard input: function (0: decompress, else an algorithm's number plus 1), level, room for the result,
 * length of the data, the data. Answers: status, length of the result, the result. All numbers are 32 bits.
 */
const SERVER = `
import ctypes, struct, sys
lzo = ctypes.CDLL("${LIBRARY}")
names = ["lzo1x_decompress_safe", ${ALGORITHMS.map((name) => `"${name}_compress"`).join(", ")}]
functions = [getattr(lzo, name) for name in names]
# "lzo1x_999_compress" has the level that is its default.
with_level = lzo.lzo1x_999_compress_level
# 14 * 16384 * 2 for lzo1x_999, 32768 pointers for lzo1x_1_15, less for the others (lzo1x.h).
scratch = ctypes.create_string_buffer(1 << 20)
requests = sys.stdin.buffer
while head := requests.read(16):
    function, level, room, length = struct.unpack("<4I", head)
    data = requests.read(length)
    out = ctypes.create_string_buffer(room + 1)
    size = ctypes.c_size_t(room)
    if level:
        status = with_level(data, ctypes.c_size_t(length), out, ctypes.byref(size), scratch, None, ctypes.c_size_t(0), None, level)
    else:
        status = functions[function](data, ctypes.c_size_t(length), out, ctypes.byref(size), scratch)
    result = out.raw[:size.value]
    sys.stdout.buffer.write(struct.pack("<iI", status, len(result)) + result)
`;

/** True, and the test marked as skipped, when liblzo2 or Python is missing. */
export function lacksLiblzo(t: TestContext): boolean {
  if (lacks(t, "python3")) return true;
  libraryFound ??= spawnSync("python3", ["-c", `import ctypes; ctypes.CDLL("${LIBRARY}")`]).status === 0;
  return !libraryFound && unavailable(t, `needs ${LIBRARY}`);
}

let libraryFound: boolean | undefined;

interface Request {
  readonly name: number;
  readonly level: number;
  readonly room: number;
  readonly data: Uint8Array;
}

/** The results; undefined where liblzo's status is not success. */
function ask(requests: readonly Request[]): (Uint8Array | undefined)[] {
  const input = requests.flatMap(({ name, level, room, data }) => [
    new Uint8Array(Uint32Array.of(name, level, room, data.length).buffer),
    data,
  ]);
  const { stdout, stderr, status } = spawnSync("python3", ["-c", SERVER], {
    input: Buffer.concat(input),
    maxBuffer: 2 ** 30,
  });
  assert.equal(status, 0, stderr.toString());
  let at = 0;
  return requests.map(() => {
    const failed = stdout.readInt32LE(at) !== 0;
    const length = stdout.readUInt32LE(at + 4);
    at += 8 + length;
    return failed ? undefined : stdout.subarray(at - length, at);
  });
}

/** What liblzo makes of blocks, with as much room for each result; undefined where it refuses one. */
export function liblzoDecompress(blocks: readonly Uint8Array[], room: readonly number[]): (Uint8Array | undefined)[] {
  return ask(blocks.map((data, i) => ({ name: 0, level: 0, room: room[i]!, data })));
}

/** Asserts that liblzo takes each of the blocks, and gets out what went in. */
export function assertLiblzoReads(blocks: readonly { name: string; block: Uint8Array; input: Uint8Array }[]): void {
  const results = liblzoDecompress(
    blocks.map(({ block }) => block),
    blocks.map(({ input }) => input.length),
  );
  for (const [i, { name, input }] of blocks.entries()) {
    const result = results[i];
    assert.ok(result !== undefined, `liblzo refuses ${name}`);
    assert.ok(Buffer.compare(result, input) === 0, `liblzo reads ${name} differently`);
  }
}

/** Blocks as liblzo compresses them. The level is for lzo1x_999 only. */
export function liblzoCompress(inputs: readonly Uint8Array[], algorithm: Algorithm, level = 0): Uint8Array[] {
  const name = 1 + ALGORITHMS.indexOf(algorithm);
  const results = ask(inputs.map((data) => ({ name, level, room: data.length + (data.length >> 4) + 67, data })));
  return results.map((result) => result ?? assert.fail(`${algorithm} does not compress`));
}
