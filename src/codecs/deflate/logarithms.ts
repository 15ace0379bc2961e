/**
 * Binary logarithms of whole numbers, for what symbols cost: a symbol of probability p is worth -log2 p bits (Shannon,
 * 1948).
 */

/** They are in units of 2^-LOGARITHM_FRACTION. */
export const LOGARITHM_FRACTION: i32 = 12;

/** They are looked up by the TABLE_BITS bits after a number's highest. */
const TABLE_BITS: i32 = 9;
const TABLE: usize = memory.data(2 << TABLE_BITS, 16);

/**
 * Has to be called once: the logarithms of 1 to just below 2, bit by bit, by squaring (Knuth, TAOCP 1.2.2, exercise
 * 25).
 */
export function prepareLogarithms(): void {
  const one: u64 = 1 << 31;
  for (let i = 0; i < 1 << TABLE_BITS; i++) {
    let x = one + (<u64>i << (31 - TABLE_BITS));
    let result: u32 = 0;
    for (let bit = 0; bit < LOGARITHM_FRACTION; bit++) {
      x = (x * x) >> 31;
      result <<= 1;
      if (x >= 2 * one) {
        result |= 1;
        x >>= 1;
      }
    }
    store<u16>(TABLE + (i << 1), <u16>result);
  }
}

/** The logarithm of a number from 1 to 2^31. */
export function logarithm(value: u32): u32 {
  const exponent = 31 - clz<u32>(value);
  const index = ((value << (31 - exponent)) >> (31 - TABLE_BITS)) & ((1 << TABLE_BITS) - 1);
  return (exponent << LOGARITHM_FRACTION) + load<u16>(TABLE + (index << 1));
}
