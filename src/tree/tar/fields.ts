/** Reading the fields of tar headers and the records of pax headers. Errors say at which byte of the archive. */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import { ImgbuildError } from "../../errors.js";
import type { Timestamp } from "../node.js";

/** A tar that is not what it should be at byte `at`. */
export function tarError(at: number, problem: string): ImgbuildError {
  return new ImgbuildError("source-invalid", `the tar is damaged at byte ${at}: ${problem}`, {
    hint: "Make the archive again, or compare its checksum with the original's: it may have been cut short or changed.",
    data: { offset: at },
  });
}

/** Text up to the first NUL. */
export function textField(field: Uint8Array): ByteString {
  if (field[0] === 0) return "" as ByteString;
  const end = field.indexOf(0);
  return fromBytes(end < 0 ? field : field.subarray(0, end));
}

/**
 * A number: octal digits with blanks and NULs around them, an empty field being 0; or, with the top bit of the first byte
 * set, a big-endian two's complement number of the remaining bits ("base-256").
 */
export function numberField(field: Uint8Array, name: string, at: number): number {
  const first = field[0]!;
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n;
    value = (value << 6n) | BigInt(first & 0x3f);
    for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
      throw tarError(at, `its ${name} of ${value} is beyond 2^53`);
    }
    return Number(value);
  }
  let value = 0;
  let hasEnded = false;
  for (const byte of field) {
    const digit = byte - 0x30;
    if (digit >= 0 && digit < 8 && !hasEnded) value = value * 8 + digit;
    else if (byte === 0) break;
    else if (byte !== 0x20) throw tarError(at, `its ${name} is not an octal number`);
    else if (value > 0) hasEnded = true;
  }
  return value;
}

/** A decimal number of a pax record, 0 to 2^53. */
export function decimalValue(value: ByteString, name: string, at: number): number {
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw tarError(at, `the pax record ${name} is not a decimal number below 2^53`);
  return number;
}

/** A pax time: seconds with any number of decimals, possibly negative. What is below a nanosecond is cut off. */
export function timeValue(value: ByteString, name: string, at: number): Timestamp {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value);
  if (!match) throw tarError(at, `the pax record ${name} is not a time`);
  const whole = Number(match[2]);
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds: whole, nanoseconds };
  // Nanoseconds always count upwards: -1.25 s is -2 s and 750,000,000 ns.
  return nanoseconds === 0
    ? { seconds: 0 - whole, nanoseconds }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

export type PaxRecord = readonly [key: ByteString, value: ByteString];

/** The records of a pax header: "LENGTH KEY=VALUE\n" each, where LENGTH counts all of it. Values are kept byte for byte. */
export function paxRecords(data: Uint8Array, at: number): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let start = 0; start < data.length; ) {
    const blank = data.indexOf(0x20, start);
    const digits = blank < 0 || blank - start > 10 ? "" : fromBytes(data.subarray(start, blank));
    const end = start + (/^\d+$/.test(digits) ? Number(digits) : 0);
    const equals = data.indexOf(0x3d, blank);
    if (end <= blank || end > data.length || data[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw tarError(at + start, "a pax record is malformed");
    }
    records.push([fromBytes(data.subarray(blank + 1, equals)), fromBytes(data.subarray(equals + 1, end - 1))]);
    start = end;
  }
  return records;
}
