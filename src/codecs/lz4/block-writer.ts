import { COMPRESSED, PLAIN } from "./buffers";
import { MIN_MATCH, TOKEN_MORE } from "./format";
import { LENGTHS, OFFSETS } from "./match-table";

let to: usize = 0;

function putLength(at: usize, rest: i32): usize {
  while (rest >= 255) {
    store<u8>(at++, 255);
    rest -= 255;
  }
  store<u8>(at++, <u8>rest);
  return at;
}

export function writePath(length: i32): i32 {
  let to = COMPRESSED;
  let literals = 0;
  let i = 0;
  while (i < length) {
    const l = <i32>load<u32>(LENGTHS + (i << 2));
    if (l == 0) { i++; continue; }
    const token = to++;
    const n = i - literals;
    if (n >= TOKEN_MORE) to = putLength(to, n - TOKEN_MORE);
    memory.copy(to, PLAIN + literals, n);
    to += n;
    store<u16>(to, load<u16>(OFFSETS + (i << 1)));
    to += 2;
    const m = l - MIN_MATCH;
    if (m >= TOKEN_MORE) to = putLength(to, m - TOKEN_MORE);
    store<u8>(token, <u8>((min(n, TOKEN_MORE) << 4) | min(m, TOKEN_MORE)));
    i += l;
    literals = i;
  }
  const n = length - literals;
  store<u8>(to++, <u8>(min(n, TOKEN_MORE) << 4));
  if (n >= TOKEN_MORE) to = putLength(to, n - TOKEN_MORE);
  memory.copy(to, PLAIN + literals, n);
  return <i32>(to + n - COMPRESSED);
}
