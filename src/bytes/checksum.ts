/** The cyclic redundancy checks of the formats, eight bytes at a time ("slicing-by-8", Kounavis and Berry, 2005). */

/** Continues the checksum `seed` over `bytes`. */
export type Checksum = (bytes: Uint8Array, seed?: number) => number;

/** Eight tables for the reversed polynomial `polynomial`; table k advances a byte by k further zero bytes. */
function tables(polynomial: number): Uint32Array[] {
  const first = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    first[byte] = value;
  }
  const all = [first];
  for (let k = 1; k < 8; k++) all.push(all[k - 1]!.map((value) => (value >>> 8) ^ first[value & 0xff]!));
  return all;
}

function register(polynomial: number): Checksum {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables(polynomial) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  return (bytes, seed = 0) => {
    let value = seed;
    let at = 0;
    for (const end = bytes.length - 7; at < end; at += 8) {
      const low = value ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
      value =
        t7[low & 0xff]! ^
        t6[(low >>> 8) & 0xff]! ^
        t5[(low >>> 16) & 0xff]! ^
        t4[low >>> 24]! ^
        t3[bytes[at + 4]!]! ^
        t2[bytes[at + 5]!]! ^
        t1[bytes[at + 6]!]! ^
        t0[bytes[at + 7]!]!;
    }
    for (; at < bytes.length; at++) value = (value >>> 8) ^ t0[(value ^ bytes[at]!) & 0xff]!;
    return value >>> 0;
  };
}

const crc32Register = register(0xedb88320);
const crc32cRegister = register(0x82f63b78);

/**
 * Node has one of its own, which is several times as fast, since 20.15 and 22.2. It is looked for when it is first used: loading
 * zlib takes longer than many a checksum.
 */
let fastestCrc32: Checksum | undefined;
const findCrc32 = (): Checksum =>
  globalThis.process?.getBuiltinModule?.("node:zlib").crc32 ??
  ((bytes, seed = 0) => ~crc32Register(bytes, ~seed >>> 0) >>> 0);

/** CRC-32 as zlib, GPT and U-Boot have it: inverted before and after, so that results can be chained as seeds. */
export const crc32: Checksum = (bytes, seed) => {
  fastestCrc32 ??= findCrc32();
  return fastestCrc32(bytes, seed);
};

/** CRC-32C (Castagnoli) as Linux's `crc32c_le`: the plain register, with neither inversion. ext4 starts it at 0xffffffff. */
export const crc32c: Checksum = (bytes, seed = 0) => crc32cRegister(bytes, seed);
