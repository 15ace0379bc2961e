/** CRC-16 as Linux's lib/crc16.c has it: polynomial 0x8005, reversed. The uninit_bg feature protects descriptors with it. */
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
