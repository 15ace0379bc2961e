/** Sizes in bytes, and how people write them. Units are always powers of 1024. */
import { ImgbuildError } from "../errors.js";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** `value` rounded up to a multiple of `unit`. Exact up to 2^53. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** "0x177fffc0": how addresses and whatever U-Boot counts are written. */
export const hex = (value: number): string => `0x${value.toString(16)}`;

/** Bytes from "4096", "64K", "64KiB", "1.5GiB" or a number. Throws a `usage` error that shows the forms it takes. */
export function parseSize(text: string | number): number {
  const match = /^(\d+(?:\.\d+)?) ?(?:([KMGT])(?:iB|B)?|B)?$/i.exec(String(text).trim());
  const bytes = match ? Number(match[1]) * UNITS[(match[2] ?? "").toUpperCase()]! : Number.NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new ImgbuildError("usage", `"${text}" is not a size`, {
      hint: "Write a whole number of bytes, or 64K, 64KiB, 64M, 1.5GiB; units are powers of 1024.",
    });
  }
  return bytes;
}

/** "1.5 GiB", "64 MiB", "123 bytes": for people, three digits at most after the point are cut. */
export function formatSize(bytes: number): string {
  for (const [unit, factor] of [
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const) {
    if (bytes >= factor) return `${Number((bytes / factor).toFixed(bytes >= 100 * factor ? 0 : 1))} ${unit}`;
  }
  return `${bytes} byte${bytes === 1 ? "" : "s"}`;
}
