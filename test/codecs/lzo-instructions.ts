/** Takes LZO1X blocks apart, by the table in Linux's Documentation/staging/lzo.rst, to see what an encoder made of an input. */
import assert from "node:assert/strict";

export interface Instruction {
  readonly kind: "literals" | "M1 pair" | "M1 triple" | "M2" | "M3" | "M4";
  readonly length: number;
  /** 0 for literals. */
  readonly distance: number;
  /** How many literals follow it. */
  readonly literals: number;
}

/** The instructions of a sound block, without its end. */
export function instructions(block: Uint8Array): Instruction[] {
  const found: Instruction[] = [];
  let at = 0;
  /** The literals before the next instruction. */
  let literals = 0;
  const next = () => {
    assert.ok(at < block.length, "the block ends early");
    return block[at++]!;
  };
  const lengthOf = (code: number, mask: number) => {
    if ((code & mask) !== 0) return code & mask;
    let zeros = 0;
    let byte = next();
    for (; byte === 0; byte = next()) zeros++;
    return mask + 255 * zeros + byte;
  };
  const push = (kind: Instruction["kind"], length: number, distance: number, after: number) => {
    found.push({ kind, length, distance, literals: after });
    at += kind === "literals" ? length : after;
    literals = kind === "literals" ? length : after;
  };
  if (block[0]! > 17) push("literals", next() - 17, 0, 0);
  for (;;) {
    const code = next();
    if (code >= 64) {
      push("M2", (code >> 5) + 1, 8 * next() + ((code >> 2) & 7) + 1, code & 3);
    } else if (code >= 16) {
      const length = lengthOf(code, code >= 32 ? 31 : 7) + 2;
      const low = next();
      const distance = (low >> 2) + (next() << 6);
      if (code >= 32) {
        push("M3", length, distance + 1, low & 3);
      } else if (distance + (code & 8) === 0) {
        assert.equal(at, block.length, "something follows the end");
        return found;
      } else {
        push("M4", length, 16384 + ((code & 8) << 11) + distance, low & 3);
      }
    } else if (literals === 0) {
      push("literals", lengthOf(code, 15) + 3, 0, 0);
    } else if (literals < 4) {
      push("M1 pair", 2, 4 * next() + (code >> 2) + 1, code & 3);
    } else {
      push("M1 triple", 3, 4 * next() + (code >> 2) + 2049, code & 3);
    }
  }
}
