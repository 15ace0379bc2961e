/**
 * U-Boot's environment as it lies on a medium: variables, and a checksum over them and what is behind them.
 *
 * Two kinds, by how U-Boot was built (include/env_internal.h, `struct environment_s`):
 *
 *     single     CRC-32, variables, padding
 *     redundant  CRC-32, a byte that tells the newer copy from the older, variables, padding; two of these
 *
 * Each variable is "name=value" with a NUL behind it, and an empty one ends them. The CRC-32 is the processor's: little-endian on
 * ARM.
 */
import { type ByteString, display, fromBytes, toBytes } from "../bytes/bytestring.js";
import { crc32 } from "../bytes/checksum.js";
import { struct, u8, u32 } from "../bytes/struct.js";
import { ImgbuildError } from "../errors.js";

/** Variables by name, in the order in which they are stored. */
export type Environment = ReadonlyMap<ByteString, ByteString>;

const single = struct("environment", 4, { crc: [0, u32] });
const redundant = struct("redundant environment", 5, { crc: [0, u32], flag: [4, u8] });

export interface EnvironmentOptions {
  /** Length of one copy in bytes: CONFIG_ENV_SIZE. */
  readonly size: number;
  /** Of a redundant one: 0 to 255. Absent for a single one. */
  readonly flag?: number | undefined;
  /** What is behind the variables: 0xff, as erased flash has it and mkenvimage writes it, or 0 as U-Boot does. */
  readonly padding?: number;
}

/**
 * One copy. Throws `does-not-fit`, and `not-representable` for what would come back as something else: a NUL, a name with = in it
 * or none. Whether a variable is one to set is `checkVariable`'s question: what others have stored is carried along as it is.
 */
export function encodeEnvironment(environment: Environment, { size, flag, padding = 0xff }: EnvironmentOptions) {
  const header = flag === undefined ? single : redundant;
  for (const [name, value] of environment) checkStorable(name, value);
  const text = [...environment].map(([name, value]) => `${name}=${value}\0`).join("");
  // An environment without variables is two NULs as well.
  const data = toBytes(`${text || "\0"}\0` as ByteString);
  const needed = header.size + data.length;
  if (needed > size) {
    throw new ImgbuildError(
      "does-not-fit",
      `the environment needs ${needed} bytes, ${needed - size} more than its ${size}`,
      {
        hint: "Take variables out. Its size cannot be changed: it is what U-Boot was built with (CONFIG_ENV_SIZE).",
        data: { needed, available: size },
      },
    );
  }
  const bytes = new Uint8Array(size).fill(padding);
  bytes.set(data, header.size);
  const crc = crc32(bytes.subarray(header.size));
  if (flag === undefined) single.write(bytes, 0, { crc });
  else redundant.write(bytes, 0, { crc, flag });
  return bytes;
}

function checkStorable(name: ByteString, value: ByteString): void {
  if (name !== "" && !/[=\0]/.test(name) && !value.includes("\0")) return;
  const what = `the variable "${display(name)}"`;
  throw new ImgbuildError(
    "not-representable",
    `U-Boot's environment cannot store ${what}: it would be read as another`,
    {
      hint: "A name has at least one character and no =, and nothing has a NUL in it.",
      data: { name: display(name) },
    },
  );
}

/**
 * Throws `not-representable` for a variable that is not to be set: it cannot be stored, storing would delete it, or the text form
 * would lose it.
 */
export function checkVariable(name: ByteString, value: ByteString): void {
  const shown = `"${display(name)}"`;
  if (name === "" || /[=\0\n]/.test(name) || name.startsWith("#")) {
    throw new ImgbuildError("not-representable", `U-Boot's environment cannot have a variable with the name ${shown}`, {
      hint: "A name has at least one character, and neither = nor NUL nor a line feed; it does not begin with #.",
      data: { name: display(name) },
    });
  }
  if (value !== "" && !value.includes("\0")) return;
  const problem = value === "" ? "no value" : "a NUL in its value";
  throw new ImgbuildError("not-representable", `the variable ${shown} has ${problem}`, {
    hint: "U-Boot takes a variable without a value for one that is to be deleted, and a NUL for a value's end.",
    data: { name: display(name) },
  });
}

/** One copy as it was read. */
export interface EnvironmentCopy {
  readonly variables: Environment;
  /** Of a redundant one. */
  readonly flag: number | undefined;
}

/** Reads one copy; undefined where its checksum is another: it was never written, torn, or is of the other kind. */
export function decodeEnvironment(bytes: Uint8Array, kind: "single" | "redundant"): EnvironmentCopy | undefined {
  const header = kind === "single" ? single : redundant;
  if (bytes.length <= header.size) return undefined;
  const data = bytes.subarray(header.size);
  if (crc32(data) !== single.read(bytes, 0).crc) return undefined;
  const variables = new Map<ByteString, ByteString>();
  for (let at = 0; at < data.length && data[at] !== 0; ) {
    const end = data.indexOf(0, at);
    const entry = fromBytes(data.subarray(at, end < 0 ? data.length : end));
    const equals = entry.indexOf("=");
    if (equals > 0) variables.set(entry.slice(0, equals) as ByteString, entry.slice(equals + 1) as ByteString);
    at += entry.length + 1;
  }
  return { variables, flag: kind === "single" ? undefined : redundant.read(bytes, 0).flag };
}

/**
 * Which of two redundant copies U-Boot takes, by their index; undefined where neither is valid. env/common.c, env_check_redund:
 * the one with the greater flag, where 0 comes after 255; of two alike the first.
 */
export function newerCopy(first: EnvironmentCopy | undefined, second: EnvironmentCopy | undefined): 0 | 1 | undefined {
  if (first === undefined) return second === undefined ? undefined : 1;
  if (second === undefined) return 0;
  const [a, b] = [first.flag ?? 0, second.flag ?? 0];
  if (a === 255 && b === 0) return 1;
  if (a === 0 && b === 255) return 0;
  return b > a ? 1 : 0;
}

/** The flag of a copy that is written after one with `flag`. */
export const nextFlag = (flag: number): number => (flag + 1) % 256;

/**
 * Variables from lines "name=value", as mkenvimage takes them: lines that begin with # and empty ones are left out, and a
 * backslash at a line's end stands for a line feed in the value, which goes on in the next line whatever that is. The last of several of one name counts. Throws
 * `source-invalid` with `where` and the line, also for lines that end in CR LF, and `not-representable`.
 */
export function parseEnvironment(text: ByteString, where: string): Environment {
  const variables = new Map<ByteString, ByteString>();
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const first = i + 1;
    let line = lines[i]!;
    if (line === "" || line.startsWith("#")) continue;
    while (line.endsWith("\\") && i + 1 < lines.length) line = `${line.slice(0, -1)}\n${lines[++i]}`;
    if (line.endsWith("\r")) {
      throw new ImgbuildError(
        "source-invalid",
        `${where}:${first}: the line ends in CR LF, and the CR would become part of the value`,
        { hint: "Give it the line ends of Unix: dos2unix does." },
      );
    }
    const equals = line.indexOf("=");
    if (equals < 0) {
      throw new ImgbuildError(
        "source-invalid",
        `${where}:${first}: there is no = in "${display(line as ByteString)}"`,
        {
          hint: "Each line sets a variable: name=value. Lines that begin with # are comments.",
        },
      );
    }
    const [name, value] = [line.slice(0, equals) as ByteString, line.slice(equals + 1) as ByteString];
    checkVariable(name, value);
    variables.delete(name);
    variables.set(name, value);
  }
  return variables;
}

/**
 * The lines that `parseEnvironment` takes. Throws `not-representable` for what they would be read as something else with: a value that
 * ends in a backslash or a CR, a name that begins with # or has a line feed in it.
 */
export function formatEnvironment(environment: Environment): ByteString {
  const lines = [...environment].map(([name, value]) => {
    const inexpressible = (what: string) =>
      new ImgbuildError("not-representable", `${what}, which the text form takes for something else`, {
        hint: "Print it as JSON: --json. Or name the variables to print.",
        data: { name: display(name) },
      });
    if (value.endsWith("\\")) throw inexpressible(`the value of "${display(name)}" ends in a backslash`);
    if (value.endsWith("\r")) throw inexpressible(`the value of "${display(name)}" ends in a carriage return`);
    if (name.startsWith("#")) throw inexpressible(`the name "${display(name)}" begins with #`);
    if (name.includes("\n")) throw inexpressible(`the name "${display(name)}" has a line feed in it`);
    return `${name}=${value.replaceAll("\n", "\\\n")}\n`;
  });
  return lines.join("") as ByteString;
}
