/** CRC-32 with the highest bit first and no inversion, Linux's `crc32_be`: the first form of checksums that journals had. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value < 0 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** Continues the checksum `seed` over `bytes`. */
export function crc32BigEndian(bytes: Uint8Array, seed: number): number {
  let value = seed;
  for (const byte of bytes) value = (value << 8) ^ TABLE[((value >>> 24) ^ byte) & 0xff]!;
  return value >>> 0;
}
