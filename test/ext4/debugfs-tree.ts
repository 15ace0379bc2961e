/** A whole file system as debugfs reads it, asked for everything in one run. Nothing here comes from our reader but numbers. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { line, xattrText } from "../support/describe.js";
import { run } from "../support/tools.js";

/** An inode as debugfs shows it. */
export interface DebugfsInode {
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** In bytes. */
  readonly size: number;
  readonly links: number;
  /** Units of 512 bytes. */
  readonly sectors: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  /** First and last block within the file of each run of blocks that it has, in order; runs that meet are one. */
  readonly blocks: readonly (readonly [first: number, last: number])[];
  /** Hash of what `dump` wrote, target of a link, numbers of a device. */
  readonly detail: string;
  /** Value in hexadecimal digits by name. */
  readonly xattrs: ReadonlyMap<string, string>;
  /** Of a directory: number by name, "." and ".." included. */
  readonly entries: ReadonlyMap<string, number>;
}

/** An inode to ask about: debugfs does not say what there is. The names are those of its attributes. */
export interface Question {
  readonly number: number;
  readonly type: string;
  readonly xattrs: readonly string[];
}

const TYPES: Record<string, string> = {
  regular: "file",
  "block special": "block",
  "character special": "character",
  FIFO: "fifo",
};

/** Asks debugfs about all of these inodes at once. */
export function askDebugfs(image: string, questions: readonly Question[]): Map<number, DebugfsInode> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "imgbuild-debugfs-"));
  try {
    const commands = questions.flatMap(({ number, type, xattrs }) => [
      `stat <${number}>`,
      `ea_list <${number}>`,
      ...xattrs.map((name, i) => `ea_get -f ${number}.${i} <${number}> ${name}`),
      ...(type === "directory" ? [`ls -p <${number}>`] : []),
      ...(type === "file" || type === "symlink" ? [`dump <${number}> ${number}`] : []),
    ]);
    fs.writeFileSync(path.join(folder, "commands"), `${commands.join("\n")}\n`);
    const printed = run("debugfs", ["-f", "commands", path.resolve(image)], { cwd: folder });
    const answers = new Map<string, string>();
    let rest = printed;
    for (const [i, command] of commands.entries()) {
      const head = `debugfs: ${command}\n`;
      if (!rest.startsWith(head)) throw new Error(`debugfs answered ${rest.slice(0, 200)} instead of ${command}`);
      const next = i + 1 < commands.length ? rest.indexOf(`\ndebugfs: ${commands[i + 1]}\n`, head.length - 1) + 1 : 0;
      answers.set(command, rest.slice(head.length, next || undefined));
      rest = next === 0 ? "" : rest.slice(next);
    }
    return new Map(questions.map((question) => [question.number, inodeOf(question, answers, folder)]));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

function inodeOf({ number, xattrs }: Question, answers: ReadonlyMap<string, string>, folder: string): DebugfsInode {
  const stat = answers.get(`stat <${number}>`)!;
  const field = (pattern: RegExp) => {
    const match = pattern.exec(stat);
    if (match === null) throw new Error(`debugfs has no ${pattern.source} in ${stat}`);
    return match.slice(1);
  };
  const [named, mode] = field(/^Inode: \d+ +Type: (.*?) +Mode: +0(\d+) /) as [string, string];
  const type = TYPES[named] ?? named;
  const [uid, gid] = field(/^User: +(-?\d+) +Group: +(-?\d+) /m).map((id) => Number(id) >>> 0) as [number, number];
  const size = Number(field(/ Size: (\d+)$/m)[0]);
  const [links, sectors] = field(/^Links: (\d+) +Blockcount: (\d+)$/m).map(Number) as [number, number];
  // Two bits of seconds and the nanoseconds, where the inode has room for them.
  const [low, extra = "0"] = field(/^ ?mtime: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))? -- /m) as [string, string?];
  const upper = Number.parseInt(extra, 16);

  const fileOf = (name: string) => fs.readFileSync(path.join(folder, name));
  let detail = "";
  if (type === "file")
    detail = `${size} ${createHash("sha256")
      .update(fileOf(`${number}`))
      .digest("hex")}`;
  if (type === "symlink") {
    const fast = /^Fast link dest: "(.*)"$/ms.exec(stat)?.[1];
    detail = `-> ${fast ?? fileOf(`${number}`).toString("latin1")}`;
  }
  if (type === "block" || type === "character") {
    const [major, minor] = field(/evice major\/minor number: (\d+):(\d+) /).map(Number);
    detail = `${major},${minor}`;
  }
  const listed = [...answers.get(`ea_list <${number}>`)!.matchAll(/^ {2}(\S+) \((\d+)\)/gm)];
  if (
    listed
      .map(([, name]) => name)
      .sort()
      .join() !== [...xattrs].sort().join()
  ) {
    throw new Error(`inode ${number} has the attributes ${listed.map(([, name]) => name)}, not ${xattrs}`);
  }
  return {
    ...{ type, mode: Number.parseInt(mode, 8), uid, gid, size, links, sectors, detail },
    seconds: (Number.parseInt(low, 16) | 0) + (upper & 3) * 2 ** 32,
    nanoseconds: upper >>> 2,
    blocks: type === "file" ? blocksOf(stat) : [],
    xattrs: new Map(xattrs.map((name, i) => [name, xattrValue(name, fileOf(`${number}.${i}`)).toString("hex")])),
    entries: entriesOf(answers.get(`ls -p <${number}>`) ?? ""),
  };
}

/** In an ACL, entries of no user and no group have the id 0 of libext2fs, and the id -1 (ACL_UNDEFINED_ID) of the kernel. */
function xattrValue(name: string, value: Buffer): Buffer {
  if (!name.startsWith("system.posix_acl_")) return value;
  for (let at = 4; at < value.length; at += 8) {
    const isNamed = [2, 8].includes(value.readUInt16LE(at));
    if (!isNamed && value.readUInt32LE(at + 4) === 0) value.writeUInt32LE(0xffff_ffff, at + 4);
  }
  return value;
}

/** As in "(0-3):1460-1463, (ETB0):1464"; of a block map, runs that are adjacent on the disk too are one. */
function blocksOf(stat: string): [number, number][] {
  const runs: [number, number][] = [];
  for (const [, first, last = first] of stat.matchAll(/\((\d+)(?:-(\d+))?\):/g)) {
    const before = runs.at(-1);
    if (before && before[1] + 1 === Number(first)) before[1] = Number(last);
    else runs.push([Number(first), Number(last)]);
  }
  return runs;
}

/** As in "/12/100644/0/0/name/size/": a name may have line feeds. Entries of no inode are free space. */
function entriesOf(listing: string): Map<string, number> {
  const found = new Map<string, number>();
  const rest = listing.replace(/\/(\d+)\/\d{6}\/-?\d+\/-?\d+\/([^/]*)\/\d*\/\n/g, (_, number, name) => {
    if (number !== "0") found.set(name, Number(number));
    return "";
  });
  if (rest.trim() !== "") throw new Error(`debugfs lists ${rest}`);
  return found;
}

/** All paths from the root on, as `describeTree` describes them. Fails on an inode that was not asked about. */
export function describeDebugfs(inodes: ReadonlyMap<number, DebugfsInode>, nanoseconds: boolean): Map<string, string> {
  const lines = new Map<string, string>();
  const first = new Map<number, string>();
  const visit = (at: string, number: number) => {
    const inode = inodes.get(number);
    if (inode === undefined) throw new Error(`debugfs finds inode ${number} at ${at}, which was not asked about`);
    if (!first.has(number)) first.set(number, at);
    const { type, mode, uid, gid, detail } = inode;
    const fraction = nanoseconds ? `.${String(inode.nanoseconds).padStart(9, "0")}` : "";
    const mtime = `${inode.seconds}${fraction}`;
    const link = first.get(number)!;
    lines.set(at, line({ path: at, type, mode, uid, gid, mtime, detail, link, xattrs: xattrText(inode.xattrs) }));
    for (const [name, child] of [...inode.entries].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (name === "." || name === ".." || (at === "" && name === "lost+found")) continue;
      visit(at === "" ? name : `${at}/${name}`, child);
    }
  };
  visit("", 2);
  return lines;
}
