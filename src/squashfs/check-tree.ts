/**
 * What the format, or Linux, cannot hold of a tree: found before anything is written. Whoever makes trees may make mistakes
 * that would otherwise be stored and become something else: mode bits that are a file type, or a user id that wraps to 0.
 */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { isDeviceNumber, MAX_MAJOR, MAX_MINOR } from "../tree/device-number.js";
import type { Inode, Plan } from "./plan.js";

/** Linux's NAME_MAX. The format has room for one byte more, which no other file system and no C library has. */
const MAX_NAME = 255;
/** Linux reads no longer targets (PATH_MAX, with its NUL), and takes an inode that has one for damaged. */
const MAX_TARGET = 4095;
const MAX_MODE = 0o7777;
const MAX_ID = 2 ** 32 - 1;

/** Throws a `not-representable` error that names the first path with something that cannot be stored. */
export function checkTree(plan: Plan): void {
  for (const { inode, first, end } of plan.directories.values()) {
    for (let name = first; name < end; name++) checkName(plan, plan.names[name]!, inode);
  }
  for (const inode of plan.all()) checkInode(plan, inode);
}

function checkName(plan: Plan, name: ByteString, parent: Inode): void {
  if (name.length > 0 && name.length <= MAX_NAME && name !== "." && name !== ".." && !/[/\0]/.test(name)) return;
  const where = plan.pathOf(parent) || "the root folder";
  throw new ImgbuildError("not-representable", `${where} cannot have a file named "${display(name)}"`, {
    hint: `Names have 1 to ${MAX_NAME} bytes, are not "." or "..", and contain neither "/" nor NUL.`,
  });
}

const isWhole = (value: number, most: number) => Number.isInteger(value) && value >= 0 && value <= most;

function checkId(plan: Plan, inode: Inode, what: string, id: number): void {
  if (isWhole(id, MAX_ID)) return;
  throw refusal(plan, inode, `the ${what} id ${id}`, `Ids are whole numbers from 0 to ${MAX_ID}.`);
}

function checkInode(plan: Plan, inode: Inode): void {
  const node = plan.nodes[inode]!;
  if (!isWhole(node.mode, MAX_MODE)) {
    const octal = Number.isInteger(node.mode) && node.mode > 0 ? `0o${node.mode.toString(8)}` : `${node.mode}`;
    throw refusal(
      plan,
      inode,
      `the mode ${octal}`,
      "Modes are the permission bits, 0 to 0o7777; the type of a file is not among them.",
    );
  }
  checkId(plan, inode, "user", node.uid);
  checkId(plan, inode, "group", node.gid);
  if (!Number.isInteger(node.mtime.seconds)) {
    throw refusal(plan, inode, `the modification time ${node.mtime.seconds}`, "Times are whole seconds since 1970.");
  }
  switch (node.type) {
    case "file":
      if (!isWhole(node.content.size, Number.MAX_SAFE_INTEGER)) {
        throw refusal(plan, inode, `${node.content.size} bytes`, "The size of a content is a whole number of bytes.");
      }
      break;
    case "symlink":
      checkTarget(plan, inode, node.target);
      break;
    case "block":
    case "character":
      if (!isDeviceNumber(node.major, node.minor)) {
        throw refusal(
          plan,
          inode,
          `the device numbers ${node.major}:${node.minor}`,
          `Major numbers go to ${MAX_MAJOR}, minor ones to ${MAX_MINOR}.`,
        );
      }
  }
}

function checkTarget(plan: Plan, inode: Inode, target: ByteString): void {
  const { length } = target;
  const hint = `The target of a symbolic link has 1 to ${MAX_TARGET} bytes, and no NUL.`;
  if (length < 1 || length > MAX_TARGET) throw refusal(plan, inode, `a target of ${length} bytes`, hint);
  if (target.includes("\0")) throw refusal(plan, inode, "a target with a NUL", hint);
}

function refusal(plan: Plan, inode: Inode, what: string, hint: string): ImgbuildError {
  const path = plan.pathOf(inode) || "the root folder";
  return new ImgbuildError("not-representable", `${path} has ${what}, which SquashFS cannot hold`, { hint });
}
