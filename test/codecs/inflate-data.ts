/** DEFLATE streams made by hand, bit by bit (RFC 1951, sections 3.1.1 and 3.2): what no encoder makes. */

const PRECODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

export class Bits {
  readonly #bits: number[] = [];

  /** A number, lowest bit first. */
  number(value: number, count: number): this {
    for (let i = 0; i < count; i++) this.#bits.push((value >>> i) & 1);
    return this;
  }

  /** A codeword as the RFC prints it, first bit first. */
  code(text: string): this {
    for (const bit of text) this.#bits.push(Number(bit));
    return this;
  }

  bytes(...values: number[]): this {
    while (this.#bits.length % 8 !== 0) this.#bits.push(0);
    for (const value of values) this.number(value, 8);
    return this;
  }

  header(last: boolean, type: number): this {
    return this.number(last ? 1 : 0, 1).number(type, 2);
  }

  /** The head of a dynamic block; `precode` has the lengths by symbol. What it codes follows. */
  codes(litlens: number, offsets: number, precode: Readonly<Record<number, number>>): this {
    this.number(litlens - 257, 5)
      .number(offsets - 1, 5)
      .number(19 - 4, 4);
    for (const symbol of PRECODE_ORDER) this.number(precode[symbol] ?? 0, 3);
    return this;
  }

  /** In the zlib container, with `checksum` after the stream: by default that of nothing. */
  zlib(checksum: readonly number[] = [0, 0, 0, 1]): Uint8Array {
    this.bytes(...checksum);
    const bytes = new Uint8Array(2 + this.#bits.length / 8);
    bytes.set([0x78, 0x9c]);
    this.#bits.forEach((bit, i) => {
      bytes[2 + (i >>> 3)]! |= bit << (i & 7);
    });
    return bytes;
  }
}

/**
 * A precode of four codewords of two bits: 0, 1, 2 and 18 (11 to 138 zeros). "00", "01", "10" and "11" with seven bits.
 */
export const PRECODE = { 0: 2, 1: 2, 2: 2, 18: 2 };

/** `count` lengths of zero, 11 at least. `codeword` is that of symbol 18: as PRECODE has it. */
export function zeros(bits: Bits, count: number, codeword = "11"): Bits {
  for (let left = count; left > 0; ) {
    const run = left > 138 ? Math.min(138, left - 11) : left;
    bits.code(codeword).number(run - 11, 7);
    left -= run;
  }
  return bits;
}
