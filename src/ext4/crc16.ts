/** CRC-16 of the polynomial x^16 + x^15 + x^2 + 1, reflected, as Linux's `crc16`: neither inverted before nor after. */

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xa001 : value >>> 1;
  return value;
});

/** Continues the checksum `seed` over `bytes`. */
export function crc16(bytes: Uint8Array, seed: number): number {
  let value = seed;
  for (const byte of bytes) value = (value >>> 8) ^ TABLE[(value ^ byte) & 0xff]!;
  return value;
}
