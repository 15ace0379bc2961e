/** A program of the root file system that the initramfs takes along, with the libraries that it is linked with. */
import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { readContent } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import type { Tree } from "../tree/tree.js";
import type { CpioMember } from "./cpio.js";
import { type DynamicLinking, type ElfTarget, targetName, withElf } from "./elf.js";

/** A file of the root, and where it goes in the initramfs. */
interface TakenFile {
  readonly from: ByteString;
  /** Without a leading "/". */
  readonly to: string;
}

export interface PlannedProgram {
  readonly name: string;
  /** The program itself first; then the dynamic linker at its own path, and the libraries in lib. */
  readonly files: readonly TakenFile[];
  readonly target: ElfTarget;
}

const PROGRAM_FOLDERS = ["/sbin", "/usr/sbin", "/bin", "/usr/bin"];
const LIBRARY_FOLDERS = ["/lib", "/usr/lib", "/lib64", "/usr/lib64"];

/**
 * Where the program and its libraries are in `tree`. Throws `kernel-unsupported` where one of them is missing; `hint` says how to
 * get the program.
 */
export async function planProgram(tree: Tree, name: string, hint: string): Promise<PlannedProgram> {
  const from = PROGRAM_FOLDERS.map((folder) => fromText(`${folder}/${name}`)).find(
    (path) => follow(tree, path)?.type === "file",
  );
  const missing = (what: string) =>
    new ImgbuildError("kernel-unsupported", `the initramfs needs ${name}, and ${what}`, { hint });
  if (from === undefined) throw missing("the root file system has none");
  const facts = await linkingOf(tree, from);
  if (facts === undefined) throw missing(`${display(from)} is no program for Linux on a little-endian processor`);
  const { target } = facts;
  const files: TakenFile[] = [{ from, to: `bin/${name}` }];
  const interpreter = facts.linking?.interpreter;
  if (interpreter !== undefined) files.push({ from: fromText(interpreter), to: interpreter.replace(/^\/+/, "") });

  const folders = libraryFolders(tree);
  const pending = [...(facts.linking?.needed ?? [])];
  const seen = new Set(interpreter === undefined ? [] : [interpreter.slice(interpreter.lastIndexOf("/") + 1)]);
  for (let library = pending.shift(); library !== undefined; library = pending.shift()) {
    if (seen.has(library)) continue;
    seen.add(library);
    let found = false;
    for (const folder of folders) {
      const path = fromText(`${folder}/${library}`);
      const its = await linkingOf(tree, path);
      // A root may have libraries for more than one processor.
      if (its === undefined || its.target.machine !== target.machine || its.target.bits !== target.bits) continue;
      files.push({ from: path, to: `lib/${library}` });
      pending.push(...(its.linking?.needed ?? []));
      found = true;
      break;
    }
    if (!found)
      throw missing(`the root file system lacks ${library} for ${targetName(target)}, which it is linked with`);
  }
  return { name, files, target };
}

/** Folders as distributions have them, with those for one processor (lib/aarch64-linux-gnu) that Debian has in them. */
function libraryFolders(tree: Tree): string[] {
  return LIBRARY_FOLDERS.flatMap((folder) => {
    const node = follow(tree, fromText(folder));
    if (node?.type !== "directory") return [];
    const names = [...node.entries.keys()].map(display).filter((name) => /^[\w.]+-linux-[\w.]+$/.test(name));
    return [folder, ...names.sort().map((name) => `${folder}/${name}`)];
  });
}

async function linkingOf(
  tree: Tree,
  path: ByteString,
): Promise<{ target: ElfTarget; linking: DynamicLinking | undefined } | undefined> {
  const node = follow(tree, path);
  if (node?.type !== "file") return undefined;
  return withElf(node.content, async (elf) => {
    if (elf === undefined) return undefined;
    const { bits, machine } = elf;
    return { target: { bits, machine }, linking: await elf.linking() };
  });
}

/** The files as members of an archive, with the folders that are not in `made` before them; those are added to it. */
export async function programMembers(tree: Tree, program: PlannedProgram, made: Set<string>): Promise<CpioMember[]> {
  const members: CpioMember[] = [];
  for (const { from, to } of program.files) {
    const parts = to.split("/").slice(0, -1);
    for (const [index] of parts.entries()) {
      const folder = parts.slice(0, index + 1).join("/");
      if (made.has(folder)) continue;
      made.add(folder);
      members.push({ path: folder, type: "directory", mode: 0o755 });
    }
    const node = follow(tree, from);
    if (node?.type !== "file") throw new ImgbuildError("internal", `the planned file ${display(from)} is gone`);
    members.push({ path: to, type: "file", mode: 0o755, bytes: await readContent(node.content) });
  }
  return members;
}
