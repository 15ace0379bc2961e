/** The members of a tar archive, whatever dialect each of them is written in. */
import { type ByteString, display } from "../../bytes/bytestring.js";
import { isZero } from "../../bytes/zeros.js";
import { ImgbuildError } from "../../errors.js";
import { isDeviceNumber } from "../device-number.js";
import { type Metadata, NO_XATTRS, type Timestamp } from "../node.js";
import { isPortableXattr } from "../xattrs.js";
import { decimalValue, numberField, type PaxRecord, paxRecords, tarError, textField, timeValue } from "./fields.js";
import { BLOCK, checksums, header, USTAR_MAGIC } from "./layout.js";
import { type Piece, placePieces, type ReadBytes, readGnuSparse, readPaxSparse, type SparseMap } from "./sparse.js";

export type MemberType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface Member extends Metadata {
  /** Where its header begins in the archive. */
  readonly at: number;
  readonly type: MemberType;
  /** As it is written, "./" and all. */
  readonly path: ByteString;
  /** Target of a symlink, or the path of a hard link's other name. */
  readonly target: ByteString;
  readonly major: number;
  readonly minor: number;
  /** Length of a file's content in bytes. */
  readonly size: number;
  /** Where that content is. */
  readonly pieces: readonly Piece[];
  /** Whether the archive says that all outside of the pieces is holes. */
  readonly sparse: boolean;
}

/** An archive, or a stream of one. `read` is asked for ascending positions, and at most one block back. */
export interface TarSource {
  readonly read: ReadBytes;
  /** Length in bytes, where it is known. */
  readonly size?: number;
  /** Told once for each kind of thing that is left out. */
  notice?(text: string): void;
  /** Whether extended attributes that cannot be read are an error. */
  readonly strictXattrs?: boolean;
}

const TYPES: Readonly<Record<string, MemberType>> = {
  "0": "file",
  "\0": "file",
  "7": "file", // contiguous: how the disk should place it
  S: "file", // GNU, sparse
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory", // GNU, incremental: its content is a list of names
  "6": "fifo",
};

const REFUSED: Readonly<Record<string, string>> = {
  M: "the continuation of a file from another volume",
  N: "a list of long names in a form that GNU tar gave up in 1993",
  I: "an inode without content, of a star dump",
};

/** Paths and attributes stay far below this: an extended header that claims more is damaged. */
const LONGEST_EXTENSION = 2 ** 24;

type Records = Map<ByteString, ByteString>;

/**
 * Reads the headers one after the other, up to the end mark. An archive that ends without it, but where a member ends, is
 * taken with a notice, as GNU tar does: some programs write none. Throws `source-invalid` and `source-unsupported`
 * errors.
 */
export async function* readMembers(source: TarSource): AsyncGenerator<Member, void> {
  const globals: Records = new Map();
  let extensions = noExtensions();
  /** Whether what was read last is an extended header, whose member has to follow. */
  let extended = false;
  for (let at = 0; ; ) {
    if (at > 0 && at === source.size && !extended) {
      source.notice?.(
        "it ends without the two blocks of zeros that mark the end; if it was cut short, the last files are missing",
      );
      return;
    }
    const block = await readBlock(source, at);
    if (isZero(block)) {
      await noticeRest(source, at);
      return;
    }
    const fields = checkedHeader(block, at);
    const type = String.fromCharCode(fields.type);
    const size = numberField(fields.size, "size", at);
    if (size < 0) throw tarError(at, `a header has a size of ${size}`);
    const dataAt = at + BLOCK;
    const next = dataAt + padded(size);

    if ("xXgLK".includes(type)) {
      if (size > LONGEST_EXTENSION) throw tarError(at, `an extended header claims ${size} bytes`);
      const data = await readExactly(source, dataAt, size);
      if (type === "L") extensions.longName = textField(data);
      else if (type === "K") extensions.longTarget = textField(data);
      else if (type === "g") setRecords(globals, paxRecords(data, dataAt));
      else extensions.records.push(...paxRecords(data, dataAt));
      extended = type !== "g";
      at = next;
      continue;
    }
    if (type === "V") {
      at = next; // GNU: the volume's label
      continue;
    }
    if (type === "A") {
      source.notice?.("access control lists in Solaris' format are left out");
      at = next;
      continue;
    }
    const { member, end } = await readMember(source, at, block, fields, extensions, globals);
    yield member;
    extensions = noExtensions();
    extended = false;
    at = end;
  }
}

interface Extensions {
  /** In order, since the oldest sparse format repeats keys. */
  readonly records: PaxRecord[];
  longName?: ByteString;
  longTarget?: ByteString;
}

const noExtensions = (): Extensions => ({ records: [] });
const padded = (size: number) => Math.ceil(size / BLOCK) * BLOCK;

async function readBlock(source: TarSource, at: number): Promise<Uint8Array> {
  const block = await source.read(at, BLOCK);
  if (block.length === BLOCK) return block;
  throw tarError(
    at + block.length,
    block.length === 0 ? "it ends without the two blocks of zeros that mark the end" : "it ends inside a header",
  );
}

/** Archives that were joined with cat end, for every tar, where the first of them does. */
async function noticeRest(source: TarSource, end: number): Promise<void> {
  const rest = await source.read(end, 2 ** 16);
  const at = rest.findIndex((byte) => byte !== 0);
  if (at >= 0) source.notice?.(`the archive ends at byte ${end}; what follows at byte ${end + at} is not read`);
}

async function readExactly(source: TarSource, at: number, length: number): Promise<Uint8Array> {
  const data = await source.read(at, length);
  if (data.length < length) throw tarError(at + data.length, `it ends ${length - data.length} bytes early`);
  return data;
}

function checkedHeader(block: Uint8Array, at: number): ReturnType<typeof header.read> {
  const fields = header.read(block);
  const stored = numberField(fields.checksum, "checksum", at);
  const { unsigned, signed } = checksums(block);
  if (stored !== unsigned && stored !== signed) {
    throw tarError(at, `the checksum of a header is ${unsigned}, but ${stored} is stored`);
  }
  return fields;
}

/** Later records win; an empty value takes the record back (POSIX), but an attribute may well be empty. */
function setRecords(into: Records, records: readonly PaxRecord[]): void {
  for (const [key, value] of records) {
    if (value === "" && !key.includes(".xattr.")) into.delete(key);
    else into.set(key, value);
  }
}

async function readMember(
  source: TarSource,
  at: number,
  block: Uint8Array,
  fields: ReturnType<typeof header.read>,
  extensions: Extensions,
  globals: Records,
): Promise<{ member: Member; end: number }> {
  const pax: Records = new Map(globals);
  setRecords(pax, extensions.records);
  const value = (key: string) => pax.get(key as ByteString);
  const number = (key: string, field: Uint8Array) => {
    const text = value(key);
    return text === undefined ? numberField(field, key, at) : decimalValue(text, key, at);
  };

  const magic = String.fromCharCode(...fields.magic);
  const ustarPrefix = magic.startsWith(USTAR_MAGIC) ? textField(fields.prefix) : "";
  const shortName = textField(fields.name);
  const path = (value("GNU.sparse.name") ??
    value("path") ??
    extensions.longName ??
    (ustarPrefix === "" ? shortName : `${ustarPrefix}/${shortName}`)) as ByteString;
  const target = value("linkpath") ?? extensions.longTarget ?? textField(fields.linkName);

  const flag = String.fromCharCode(fields.type);
  let type = TYPES[flag];
  if (type === undefined) {
    throw new ImgbuildError(
      "source-unsupported",
      `${display(path)}, at byte ${at} of the tar, is ${REFUSED[flag] ?? `of the unknown type "${display(flag as ByteString)}"`}`,
      { hint: "Make the archive with `tar --format=posix`, from the files themselves.", data: { offset: at } },
    );
  }
  // Before POSIX there was no type for directories; the name told.
  if (type === "file" && path.endsWith("/")) type = "directory";

  const uid = number("uid", fields.uid);
  const gid = number("gid", fields.gid);
  for (const id of [uid, gid]) {
    if (id < 0 || id > 0xffff_ffff) throw tarError(at, `${display(path)} belongs to ${id}, which is no 32-bit id`);
  }
  const storedSize = number("size", fields.size);
  const isDevice = type === "block" || type === "character";
  const [major, minor] = isDevice
    ? [numberField(fields.deviceMajor, "major", at), numberField(fields.deviceMinor, "minor", at)]
    : [0, 0];
  if (!isDeviceNumber(major, minor)) {
    throw tarError(at, `${display(path)} is device ${major},${minor}, which Linux cannot have`);
  }

  const time = value("mtime");
  const mtime: Timestamp =
    time === undefined
      ? { seconds: numberField(fields.mtime, "mtime", at), nanoseconds: 0 }
      : timeValue(time, "mtime", at);
  const mode = numberField(fields.mode, "mode", at) & 0o7777;
  const xattrs = readXattrs(pax, at, source);
  const shared = { at, path, target, mode, uid, gid, mtime, xattrs, major, minor };

  if (type !== "file") {
    const hasData = flag === "D" || (type === "hardlink" && storedSize > 0 && (await isFollowedByData(source, at)));
    const end = at + BLOCK + (hasData ? padded(storedSize) : 0);
    return { member: { ...shared, type, size: 0, pieces: [], sparse: false }, end };
  }
  const read: ReadBytes = (from, length) => readExactly(source, from, length);
  const bodyAt = at + BLOCK;
  const gnuMap = flag === "S" ? await readGnuSparse(block, at, read) : undefined;
  const map = gnuMap ?? (await readPaxSparse(extensions.records, at, bodyAt, read));
  // The size in the header counts version 1.0's map, which is in the data, but not the blocks of the oldest format's.
  const dataEnd = (gnuMap?.dataAt ?? bodyAt) + storedSize;
  if (source.size !== undefined && dataEnd > source.size) {
    throw tarError(source.size, `it ends ${dataEnd - source.size} bytes before ${display(path)} does`);
  }
  const whole: SparseMap = { size: storedSize, pieces: [[0, storedSize]], dataAt: bodyAt };
  const { size } = map ?? whole;
  const pieces = placePieces(map ?? whole, dataEnd, at);
  return { member: { ...shared, type, size, pieces, sparse: map !== undefined }, end: padded(dataEnd) };
}

/**
 * Whether the content of a hard link follows: POSIX allows it (`pax -o linkdata`), while older programs store the size of
 * the file and no content. A header, or the end, right behind means that there is none.
 */
async function isFollowedByData(source: TarSource, at: number): Promise<boolean> {
  const block = await source.read(at + BLOCK, BLOCK);
  if (block.length < BLOCK || isZero(block)) return false;
  try {
    checkedHeader(block, at + BLOCK);
    return false;
  } catch {
    return true;
  }
}

const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));

function readXattrs(pax: Records, at: number, source: TarSource): Metadata["xattrs"] {
  const xattrs = new Map<ByteString, Uint8Array>();
  for (const [key, value] of pax) {
    let name: string;
    let bytes: Uint8Array;
    if (key.startsWith("SCHILY.xattr.")) {
      // GNU tar writes these two characters so, since "=" ends a key (xheader.c, xattr_encode_keyword).
      name = key.slice("SCHILY.xattr.".length).replace(/%3D/g, "=").replace(/%25/g, "%");
      bytes = latin1(value);
    } else if (key.startsWith("LIBARCHIVE.xattr.")) {
      name = key
        .slice("LIBARCHIVE.xattr.".length)
        .replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value)) throw tarError(at, `the value of ${display(key)} is not base64`);
      bytes = new Uint8Array(Buffer.from(value, "base64"));
    } else if (key === "RHT.security.selinux") {
      // GNU tar --selinux: the label as text; in the attribute a NUL ends it.
      name = "security.selinux";
      bytes = latin1(`${value}\0`);
    } else {
      if (key.startsWith("SCHILY.acl.")) {
        if (source.strictXattrs) {
          throw new ImgbuildError("source-unsupported", "an access control list is stored as text", {
            hint: "Make the tar with --xattrs --xattrs-include='*', or leave out --strict-xattrs.",
            data: { offset: at },
          });
        }
        source.notice?.(
          "access control lists stored as text are left out; --xattrs-include='*' stores them as they are",
        );
      }
      continue;
    }
    if (isPortableXattr(name as ByteString)) xattrs.set(name as ByteString, bytes);
  }
  return xattrs.size === 0 ? NO_XATTRS : xattrs;
}
