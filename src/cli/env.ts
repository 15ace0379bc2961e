/** `imgbuild env print|set|make FILE ...`: U-Boot's environment in a file, as fw_printenv, fw_setenv and mkenvimage treat it. */
import * as fs from "node:fs";
import * as path from "node:path";
import { type ByteString, escapeName, fromBytes, fromText, toBytes } from "../bytes/bytestring.js";
import { readFully } from "../bytes/file-device.js";
import { type HostFailures, hostError, hostReadError } from "../bytes/host-error.js";
import { parseSize } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { Medium } from "../flash/medium.js";
import { Workspace } from "../output/workspace.js";
import {
  checkVariable,
  decodeEnvironment,
  type Environment,
  type EnvironmentCopy,
  encodeEnvironment,
  formatEnvironment,
  newerCopy,
  nextFlag,
  parseEnvironment,
} from "../uboot/index.js";
import { type Arguments, defineCommand, type Operands, type Options } from "./declare.js";
import { writableTarget } from "./image-file.js";
import { commonOptions, reporterFor } from "./options.js";
import { STANDARD_INPUT } from "./source.js";
import { writeOutput } from "./standard-output.js";

const group = "Where it lies";

const options = {
  offset: {
    type: "text",
    value: "BYTES",
    describe: "where it begins in FILE; a negative one counts from its end: -0x2200",
    default: "0",
    group,
  },
  size: {
    type: "text",
    value: "SIZE",
    describe: "length of one copy, CONFIG_ENV_SIZE",
    shownDefault: "to the end of FILE",
    group,
  },
  redundant: {
    type: "flag",
    describe: "two copies with a flag byte each, the second behind the first",
    default: false,
    group,
  },
  "second-offset": {
    type: "text",
    value: "BYTES",
    describe: "where the second copy is, if not behind the first",
    group,
  },
  remove: { type: "repeatable", value: "NAME", describe: "set: take a variable out", group: "What changes" },
  padding: {
    type: "choice",
    value: "BYTE",
    choices: ["ff", "00"],
    describe: "make: what is behind the variables",
    default: "ff",
    group: "What changes",
  },
  ...commonOptions,
} as const satisfies Options;

const operands = {
  action: { value: "print|set|make", describe: "what to do", known: () => ["print", "set", "make"] },
  file: { value: "FILE", describe: "what holds the environment; for make, its text (- for standard input)" },
  more: {
    value: "MORE",
    many: true,
    optional: true,
    describe: "print: names of variables. set: NAME=VALUE. make: the file to make",
  },
} as const satisfies Operands;

type EnvArguments = Arguments<typeof options, typeof operands>;

export const env = defineCommand({
  describe: "Prints, changes or makes an environment of U-Boot.",
  operands,
  options,
  async run(args) {
    refuseIdleOptions(args);
    switch (args.action) {
      case "print":
        return print(args);
      case "set":
        return set(args);
      case "make":
        return make(args);
    }
    throw new ImgbuildError("usage", `imgbuild env cannot ${args.action}`, {
      hint: "imgbuild env print FILE [NAME...], env set FILE NAME=VALUE..., env make TEXT FILE --size SIZE.",
    });
  },
});

/** Throws a `usage` error for options that would change nothing: whoever gives them expects something else to happen. */
function refuseIdleOptions({ action, offset, secondOffset, redundant, remove }: EnvArguments): void {
  const idle = (option: string, hint: string) =>
    new ImgbuildError("usage", `${option} has no meaning here`, { hint, data: { option } });
  if (remove.length > 0 && action !== "set") throw idle("--remove", "Only env set takes variables out.");
  if (action === "make" && (offset !== "0" || secondOffset !== undefined)) {
    throw idle(
      secondOffset === undefined ? "--offset" : "--second-offset",
      "env make makes a file with nothing else in it. `dd seek=` puts it elsewhere; env set changes one in its place.",
    );
  }
  if (secondOffset !== undefined && !redundant) throw idle("--second-offset", "Add --redundant.");
}

/** More than any U-Boot has. What is longer is another file, or a --size that is missing. */
const LONGEST = 2 ** 24;

/** Throws a `usage` error for a length that no environment has. */
function checkSize(size: number): void {
  if (size > 0 && size <= LONGEST) return;
  throw new ImgbuildError("usage", `no environment has ${size} bytes`, {
    hint: "Set --size to U-Boot's CONFIG_ENV_SIZE: 8K, 0x2000.",
  });
}

/** Bytes from "8K", "8192" or "0x2000"; with a minus in front, below zero. */
function parseBytes(text: string): number {
  const sign = text.startsWith("-") ? -1 : 1;
  const digits = sign < 0 ? text.slice(1) : text;
  return sign * (/^0x[0-9a-f]{1,13}$/i.test(digits) ? Number(digits) : parseSize(digits));
}

interface Copies {
  /** Where each copy is, in bytes from the file's start. */
  readonly offsets: readonly number[];
  readonly size: number;
}

/** Where the copies are in a file of `length` bytes. Throws `usage` where they are not in it. */
function findCopies(length: number, args: EnvArguments): Copies {
  const absolute = (text: string) => {
    const offset = parseBytes(text);
    return offset < 0 ? length + offset : offset;
  };
  const first = absolute(args.offset);
  const inOne = args.redundant && args.secondOffset === undefined ? 2 : 1;
  const size = args.size === undefined ? Math.floor((length - first) / inOne) : parseBytes(args.size);
  const second = args.secondOffset === undefined ? first + size : absolute(args.secondOffset);
  const offsets = args.redundant ? [first, second] : [first];
  if (args.redundant && Math.abs(second - first) < size) {
    throw new ImgbuildError("usage", `copies of ${size} bytes at ${first} and ${second} lie over each other`, {
      hint: "Set --size to the length of one copy, and --second-offset to where the other begins.",
    });
  }
  const outside = offsets.find((offset) => offset < 0 || offset + size > length);
  if (outside === undefined && first < length) {
    checkSize(size);
    return { offsets, size };
  }
  throw new ImgbuildError("usage", `${args.file} has ${length} bytes, and no ${size} at ${outside ?? first}`, {
    hint: "Set --offset and --size to where U-Boot has its environment: CONFIG_ENV_OFFSET and CONFIG_ENV_SIZE.",
  });
}

interface OpenedEnvironment extends Copies {
  readonly fd: number;
  /** The copy that counts, by its index. */
  readonly current: number;
  readonly copy: EnvironmentCopy;
}

/** An environment is often in an eMMC's boot partition, which Linux lets nobody write until it is told to. */
const UNLOCK = "It takes root; a boot partition is unlocked by: echo 0 > /sys/block/mmcblk0boot0/force_ro";
const LOCKED: HostFailures = {
  EACCES: ["io-failed", "permission is denied", UNLOCK],
  EPERM: ["io-failed", "it is not permitted", UNLOCK],
  EROFS: ["io-failed", "it is read-only", UNLOCK],
};

/** Opens FILE and finds the copy that counts. Throws `image-corrupt` where no copy's checksum is right. */
function withEnvironment<T>(args: EnvArguments, flags: "r" | "r+", use: (opened: OpenedEnvironment) => T): T {
  let fd: number;
  try {
    fd = fs.openSync(args.file, flags);
  } catch (error) {
    throw flags === "r" || (error as NodeJS.ErrnoException).code === "ENOENT"
      ? hostReadError(args.file, error)
      : hostError(`write ${args.file}`, error, LOCKED);
  }
  try {
    const { offsets, size } = findCopies(lengthOf(fd, args.file), args);
    const read = (kind: "single" | "redundant") =>
      offsets.map((offset) => {
        const bytes = new Uint8Array(size);
        readFully(fd, bytes, offset);
        return decodeEnvironment(bytes, kind);
      });
    const copies = read(args.redundant ? "redundant" : "single");
    const current = newerCopy(copies[0], copies[1]);
    if (current !== undefined) return use({ fd, offsets, size, current, copy: copies[current]! });
    const other = read(args.redundant ? "single" : "redundant").some((copy) => copy !== undefined);
    throw new ImgbuildError(
      "image-corrupt",
      `${args.file} has no environment of ${size} bytes at ${offsets.join(" or ")}: the checksum is another`,
      {
        hint: other
          ? `It is one of the other kind: ${args.redundant ? "leave --redundant out" : "add --redundant"}.`
          : "Look at --offset, --size and --redundant. A U-Boot that never saved its environment has none on the medium.",
      },
    );
  } finally {
    fs.closeSync(fd);
  }
}

/** Of a file, or of a block device, whose stat has no length. */
function lengthOf(fd: number, file: string): number {
  const stat = fs.fstatSync(fd);
  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw new ImgbuildError("usage", `${file} is neither a file nor a block device`, {
      hint: "Name what holds the environment: a file, /dev/mmcblk0boot0.",
    });
  }
  if (stat.isFile()) return stat.size;
  const medium = new Medium(file, 512, { readOnly: true });
  medium.close();
  return medium.size;
}

async function print(args: EnvArguments): Promise<void> {
  const { variables } = withEnvironment(args, "r", ({ copy }) => copy);
  const wanted = args.more.map(fromText);
  const missing = wanted.find((name) => !variables.has(name));
  const found = wanted.filter((name) => variables.has(name));
  const shown: Environment =
    wanted.length === 0 ? variables : new Map(found.map((name) => [name, variables.get(name)!] as const));
  // With --json the error is the document.
  if (!args.json) await writeOutput([toBytes(formatEnvironment(shown))]);
  if (missing !== undefined) throw noVariable(missing);
  if (args.json) {
    const text = (value: ByteString) => Buffer.from(toBytes(value)).toString("utf8");
    const entries = [...shown].map(([name, value]) => [text(name), text(value)] as const);
    await writeOutput([`${JSON.stringify(Object.fromEntries(entries))}\n`]);
  }
}

function noVariable(name: ByteString): ImgbuildError {
  return new ImgbuildError("source-missing", `the environment has no variable ${escapeName(name)}`, {
    hint: "imgbuild env print FILE shows all of them.",
  });
}

/** NAME=VALUE, as it is: a shell has seen to what is special. */
function parseAssignment(argument: string): [name: ByteString, value: ByteString] {
  const text = fromText(argument);
  const equals = text.indexOf("=");
  if (equals < 0) {
    throw new ImgbuildError("usage", `${escapeName(text)} is not NAME=VALUE`, {
      hint: "imgbuild env set FILE bootdelay=0 --remove fdtfile",
    });
  }
  const [name, value] = [text.slice(0, equals) as ByteString, text.slice(equals + 1) as ByteString];
  checkVariable(name, value);
  // It could be stored, and nothing in U-Boot would find it: there a blank ends a name.
  if (/\s/.test(name)) {
    throw new ImgbuildError("usage", `the name of the variable ${escapeName(name)} has a blank in it`, {
      hint: "Give each NAME=VALUE as an argument of its own.",
    });
  }
  return [name, value];
}

async function set(args: EnvArguments): Promise<void> {
  const changes = new Map(args.more.map(parseAssignment));
  if (changes.size === 0 && args.remove.length === 0) {
    throw new ImgbuildError("usage", "there is nothing to set", { hint: "Give NAME=VALUE, or --remove NAME." });
  }
  const changed = withEnvironment(args, "r+", ({ fd, offsets, size, current, copy }) => {
    const variables = new Map(copy.variables);
    for (const name of args.remove.map(fromText)) if (!variables.delete(name)) throw noVariable(name);
    for (const [name, value] of changes) variables.set(name, value);
    const flag = copy.flag === undefined ? undefined : nextFlag(copy.flag);
    const bytes = encodeEnvironment(variables, { size, flag, padding: 0 });
    try {
      // Of two copies the older one: the other counts until this one is whole.
      const at = offsets[offsets.length - 1 - current]!;
      for (let done = 0; done < size; ) done += fs.writeSync(fd, bytes, done, size - done, at + done);
      fs.fsyncSync(fd);
    } catch (error) {
      throw hostError(`write ${args.file}`, error, LOCKED);
    }
    return variables;
  });
  await told(args.file, changed, args);
}

/** What was made or changed: as JSON where that is asked for, else a note. */
async function told(file: string, { size }: Environment, args: EnvArguments): Promise<void> {
  if (args.json) await writeOutput([`${JSON.stringify({ file, variables: size })}\n`]);
  else reporterFor(args).say(`${file}: ${size} variables`);
}

async function make(args: EnvArguments): Promise<void> {
  const [target, ...others] = args.more;
  if (target === undefined || others.length > 0 || args.size === undefined) {
    throw new ImgbuildError("usage", "imgbuild env make takes a text, the file to make, and --size", {
      hint: "imgbuild env make u-boot.txt u-boot.env --size 8K",
    });
  }
  const size = parseBytes(args.size);
  checkSize(size);
  const isInput = args.file === STANDARD_INPUT;
  const variables = parseEnvironment(readText(args.file), isInput ? "standard input" : args.file);
  const padding = Number.parseInt(args.padding, 16);
  const flags = args.redundant ? [1, 0] : [undefined];
  const copies = flags.map((flag) => encodeEnvironment(variables, { size, flag, padding }));
  const file = writableTarget(target);
  const workspace = new Workspace(path.dirname(file));
  try {
    await workspace.create(path.basename(file), size * copies.length).write(0, Buffer.concat(copies));
    workspace.commit();
  } finally {
    workspace.discard();
  }
  await told(target, variables, args);
}

/** The text that `make` is given. */
function readText(file: string): ByteString {
  try {
    return fromBytes(fs.readFileSync(file === STANDARD_INPUT ? 0 : file));
  } catch (error) {
    throw hostReadError(file === STANDARD_INPUT ? "standard input" : file, error);
  }
}
