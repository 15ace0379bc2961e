/** Inputs that are hard on a DEFLATE encoder, each for a reason of its own. */

/** A generator of 32-bit numbers, the same for the same seed (Marsaglia, "Xorshift RNGs", 2003). */
export function numbers(seed: number): () => number {
  let state = (seed | 0) === 0 ? 1 : seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

export function noise(length: number, seed: number): Uint8Array {
  const next = numbers(seed);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = next() >>> 24;
  return bytes;
}

/** Words of a small vocabulary, so that there are matches of all lengths and offsets. */
export function text(length: number, seed: number): Uint8Array {
  const next = numbers(seed);
  const words = Array.from({ length: 300 }, () =>
    String.fromCharCode(...Array.from({ length: 2 + (next() % 9) }, () => 97 + (next() % 26))),
  );
  let result = "";
  while (result.length < length) result += `${words[(next() % 300) & (next() % 300)]} `;
  return Buffer.from(result.slice(0, length));
}

/** Fields of a binary table: counters, small numbers, repeated tags and noise, side by side. */
export function records(length: number, seed: number): Uint8Array {
  const next = numbers(seed);
  const bytes = new Uint8Array(length + 16);
  for (let at = 0, i = 0; at < length; at += 16, i++) {
    const view = new DataView(bytes.buffer, at, 16);
    view.setUint32(0, i, true);
    view.setUint16(4, next() & 15, true);
    view.setUint32(6, 0x00_7f_45_4c, true);
    view.setUint16(10, next(), true);
    view.setUint32(12, next() % 100 === 0 ? next() : 0, true);
  }
  return bytes.slice(0, length);
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A pattern, `distance` bytes in all, and the pattern again: the furthest match, or one byte too far. */
function repeatedAt(distance: number): Uint8Array {
  const pattern = noise(64, 7);
  return concat(pattern, new Uint8Array(distance - 64), pattern);
}

/** How often each of 24 symbols occurs grows as the Fibonacci numbers do: the deepest Huffman tree there is for the total. */
function fibonacci(): Uint8Array {
  const counts = [1, 1];
  while (counts.length < 24) counts.push(counts.at(-1)! + counts.at(-2)!);
  const symbols = counts.flatMap((count, symbol) => Array.from({ length: count }, () => symbol * 7));
  const next = numbers(3);
  for (let i = symbols.length - 1; i > 0; i--) {
    const j = next() % (i + 1);
    [symbols[i], symbols[j]] = [symbols[j]!, symbols[i]!];
  }
  return Uint8Array.from(symbols);
}

/** Every three, then four, bytes of a counter: hash tables fill up, and hardly anything matches. */
function counter(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i >>> 2) >>> (8 * (i & 3));
  return bytes;
}

let made: ReadonlyMap<string, Uint8Array> | undefined;

/** All of them by name. They are made once, for nobody changes them. */
export function hardInputs(): ReadonlyMap<string, Uint8Array> {
  made ??= makeHardInputs();
  return made;
}

function makeHardInputs(): Map<string, Uint8Array> {
  const inputs = new Map<string, Uint8Array>();
  for (let length = 0; length <= 20; length++) {
    inputs.set(`${length} zeros`, new Uint8Array(length));
    inputs.set(
      `${length} different bytes`,
      Uint8Array.from({ length }, (_, i) => i),
    );
  }
  // One byte, and a match of 257, 258 and 259 of it; then several of the longest.
  for (const length of [257, 258, 259, 260, 261, 516, 517, 518, 519]) {
    inputs.set(`${length} of one byte`, new Uint8Array(length).fill(65));
  }
  for (const length of [32767, 32768, 32769]) inputs.set(`a match ${length} back`, repeatedAt(length));
  for (const length of [65534, 65535, 65536, 131_070, 131_071]) inputs.set(`${length} of noise`, noise(length, length));
  // A chunk of the encoder's, a little less and a little more; the largest block of SquashFS.
  for (const length of [131_071, 131_072, 131_073, 2 ** 20 - 1, 2 ** 20]) {
    inputs.set(`${length} of text`, text(length, length));
  }
  inputs.set("1 MiB of zeros", new Uint8Array(2 ** 20));
  inputs.set("1 MiB of noise", noise(2 ** 20, 1));
  inputs.set("1 MiB of records", records(2 ** 20, 1));
  inputs.set("1 MiB of a counter", counter(2 ** 20));
  inputs.set(
    "two alternating bytes",
    Uint8Array.from({ length: 100_000 }, (_, i) => i & 1),
  );
  inputs.set(
    "a period of 259",
    Uint8Array.from({ length: 100_000 }, (_, i) => (i % 259) & 255),
  );
  // Every position has many matches, each a little longer than the nearer one.
  for (const symbols of [2, 3, 4]) {
    inputs.set(
      `noise of ${symbols} symbols`,
      noise(300_000, symbols).map((byte) => byte % symbols),
    );
  }
  inputs.set("counts of Fibonacci", fibonacci());
  inputs.set(
    "noise, text, zeros, noise",
    concat(noise(50_000, 2), text(60_000, 2), new Uint8Array(70_000), noise(9, 3)),
  );
  inputs.set(
    "text with noise in it",
    concat(...Array.from({ length: 20 }, (_, i) => [text(9000, i), noise(900, i)]).flat()),
  );
  return inputs;
}
