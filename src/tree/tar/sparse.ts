/**
 * Sparse members: only the parts of a file that hold data are in the archive, and a map says where they belong. GNU tar
 * has four ways to write the map; the manual's section "Storing Sparse Files" describes them.
 */
import { type ByteString, fromBytes } from "../../bytes/bytestring.js";
import { decimalValue, numberField, type PaxRecord, tarError } from "./fields.js";
import { BLOCK, gnuSparseExtension, gnuSparseHeader } from "./layout.js";

/** A piece of a file's content: bytes [start, end) of the file are at byte `at` of the archive. */
export interface Piece {
  readonly start: number;
  readonly end: number;
  readonly at: number;
}

/** Where a sparse member's data goes. */
export interface SparseMap {
  /** Length of the whole file, holes included. */
  readonly size: number;
  /** Offset and length of each piece, in the file's order and in the archive's. */
  readonly pieces: readonly (readonly [offset: number, length: number])[];
  /** Where the data begins in the archive, when the map stands before it. */
  readonly dataAt: number;
}

export type ReadBytes = (at: number, length: number) => Promise<Uint8Array>;

/** The map of an old GNU sparse member: in its header, and in blocks between header and data. */
export async function readGnuSparse(block: Uint8Array, headerAt: number, read: ReadBytes): Promise<SparseMap> {
  const first = gnuSparseHeader.read(block);
  const pieces: [number, number][] = [];
  const addPieces = (map: Uint8Array) => {
    for (let i = 0; i < map.length && map[i] !== 0; i += 24) {
      const offset = numberField(map.subarray(i, i + 12), "sparse offset", headerAt);
      pieces.push([offset, numberField(map.subarray(i + 12, i + 24), "sparse length", headerAt)]);
    }
  };
  addPieces(first.map);
  let dataAt = headerAt + BLOCK;
  for (let more = first.isExtended !== 0; more; dataAt += BLOCK) {
    const extension = gnuSparseExtension.read(await read(dataAt, BLOCK));
    addPieces(extension.map);
    more = extension.isExtended !== 0;
  }
  return { size: numberField(first.realSize, "real size", headerAt), pieces, dataAt };
}

/** The map of a pax sparse member, versions 0.0, 0.1 and 1.0; undefined when the records tell of none. */
export async function readPaxSparse(
  records: readonly PaxRecord[],
  headerAt: number,
  dataAt: number,
  read: ReadBytes,
): Promise<SparseMap | undefined> {
  const value = (name: string) => records.findLast(([key]) => key === name)?.[1];
  const number = (text: ByteString, name: string) => decimalValue(text, name, headerAt);
  const major = value("GNU.sparse.major");
  const realSize = value("GNU.sparse.realsize") ?? value("GNU.sparse.size");
  if (major === undefined && realSize === undefined) return undefined;
  if (realSize === undefined) throw tarError(headerAt, "a sparse member does not tell its size");
  const size = number(realSize, "GNU.sparse.realsize");

  if (major !== undefined) {
    if (major !== "1" || value("GNU.sparse.minor") !== "0") {
      throw tarError(headerAt, `a sparse member has version ${major}.${value("GNU.sparse.minor") ?? ""}`);
    }
    return { size, ...(await readMapInData(dataAt, read)) };
  }
  const map = value("GNU.sparse.map");
  const numbers: number[] =
    map !== undefined
      ? map === ""
        ? []
        : map.split(",").map((text) => number(text as ByteString, "GNU.sparse.map"))
      : records
          .filter(([key]) => key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes")
          .map(([key, text]) => number(text, key));
  return { size, pieces: pairs(numbers, headerAt), dataAt };
}

/** Version 1.0: decimal numbers, one a line, at the start of the data: how many pieces, then their offsets and lengths. */
async function readMapInData(dataAt: number, read: ReadBytes): Promise<Omit<SparseMap, "size">> {
  const numbers: number[] = [];
  let at = dataAt;
  let rest = "";
  while (numbers.length === 0 || numbers.length < 1 + 2 * numbers[0]!) {
    // Longer than any number: this is no map, and what was read may be the whole file.
    if (rest.length > 20) throw tarError(dataAt, "a sparse map is malformed");
    const lines = (rest + fromBytes(await read(at, BLOCK))).split("\n");
    rest = lines.pop()!;
    for (const line of lines) numbers.push(decimalValue(line as ByteString, "of the sparse map", at));
    at += BLOCK;
  }
  return { pieces: pairs(numbers.slice(1), dataAt), dataAt: at };
}

function pairs(numbers: readonly number[], at: number): [number, number][] {
  if (numbers.length % 2 !== 0) throw tarError(at, "a sparse map has an offset without a length");
  return Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i]!, numbers[2 * i + 1]!]);
}

/** The pieces with data, with their place in the archive. Refuses maps that go backwards, past the end, or past the data. */
export function placePieces(map: SparseMap, storedEnd: number, headerAt: number): Piece[] {
  const placed: Piece[] = [];
  let at = map.dataAt;
  let reached = 0;
  for (const [start, length] of map.pieces) {
    const end = start + length;
    if (length < 0 || start < reached || end > map.size || at + length > storedEnd) {
      throw tarError(headerAt, "a sparse map does not fit the member");
    }
    if (length > 0) placed.push({ start, end, at });
    at += length;
    reached = end;
  }
  return placed;
}
