/** The modules of one kernel, as they lie in the root file system. */

import { type ByteString, display, fromText } from "../bytes/bytestring.js";
import type { CompressionFormat } from "../codecs/decompress.js";
import { ImgbuildError } from "../errors.js";
import { type Directory, type RegularFile, readContent } from "../tree/node.js";
import { follow, realPath } from "../tree/real-path.js";
import { type Tree, walk } from "../tree/tree.js";
import { expand } from "./decompress.js";
import { type ElfTarget, withElf, withElfBytes } from "./elf.js";
import { canonical, type ModuleInfo, moduleOfFileName, parseBuiltinAliases, parseModinfo } from "./modinfo.js";

/** A module's file in the tree. */
export interface ModuleFile {
  /** Canonical: with "_", without ".ko". */
  readonly name: string;
  /** From the tree's root, with a leading "/". */
  readonly path: ByteString;
  readonly node: RegularFile;
  readonly compression: CompressionFormat | undefined;
}

export interface DescribedModule extends ModuleInfo {
  readonly target: ElfTarget;
}

export interface ModuleFolder {
  readonly release: string;
  /** Loadable modules by canonical name. */
  readonly files: ReadonlyMap<string, ModuleFile>;
  /** Whether `modules.builtin` is there: without it nobody knows what is part of the kernel image. */
  readonly knowsBuiltin: boolean;
  /** Whether the kernel image has the module, or one with that alias. */
  isBuiltin(name: string): boolean;
}

const FOLDERS = ["lib/modules", "usr/lib/modules"].map(fromText);

/** The folders of modules in the root file system by kernel release; /lib may be a symlink to /usr/lib. */
export function moduleFolders(tree: Tree): Map<string, { path: ByteString; directory: Directory }> {
  const found = new Map<string, { path: ByteString; directory: Directory }>();
  for (const folder of FOLDERS) {
    const directory = follow(tree, folder);
    if (directory?.type !== "directory") continue;
    for (const [name, node] of directory.entries) {
      if (node.type !== "directory" || found.has(name)) continue;
      found.set(name, { path: `${realPath(tree, folder)}/${name}` as ByteString, directory: node });
    }
  }
  return found;
}

/** Lists the modules below `directory`, which lies at `path`, and reads what depmod or the kernel's build wrote beside them. */
export async function readModuleFolder(release: string, path: ByteString, directory: Directory): Promise<ModuleFolder> {
  const files = new Map<string, ModuleFile>();
  for (const visit of walk({ root: directory })) {
    if (visit.node.type !== "file") continue;
    const file = moduleOfFileName(visit.path.slice(visit.path.lastIndexOf("/") + 1));
    if (file) files.set(file.name, { ...file, path: `${path}/${visit.path}` as ByteString, node: visit.node });
  }
  const list = await readText(directory, "modules.builtin");
  const builtin = new Set(list?.split("\n").map((line) => moduleOfFileName(line.replace(/.*\//, ""))?.name));
  const modinfo = directory.entries.get(fromText("modules.builtin.modinfo"));
  const aliases = modinfo?.type === "file" ? parseBuiltinAliases(await readContent(modinfo.content)) : new Set();
  return {
    release,
    files,
    knowsBuiltin: list !== undefined,
    isBuiltin: (name) => builtin.has(name) || aliases.has(name),
  };
}

async function readText(directory: Directory, name: string): Promise<string | undefined> {
  const node = directory.entries.get(fromText(name));
  return node?.type === "file" ? Buffer.from(await readContent(node.content)).toString("latin1") : undefined;
}

/** The module's bytes as insmod takes them: not compressed, because few busyboxes can expand modules. */
export async function readModule(file: ModuleFile): Promise<Uint8Array> {
  const bytes = await readContent(file.node.content);
  if (file.compression === undefined) return bytes;
  try {
    return await expand(file.compression, bytes);
  } catch (cause) {
    throw new ImgbuildError("source-invalid", `${display(file.path)} is not sound ${file.compression} data`, { cause });
  }
}

/** Reads what a module says about itself. Of one that is not compressed only that part is read. */
export async function describeModule(file: ModuleFile): Promise<DescribedModule> {
  const use: Parameters<typeof withElf<DescribedModule | undefined>>[1] = async (elf) => {
    const section = await elf?.section(".modinfo");
    return elf && section && { ...parseModinfo(section), target: { bits: elf.bits, machine: elf.machine } };
  };
  const described = file.compression
    ? await withElfBytes(await readModule(file), use)
    : await withElf(file.node.content, use);
  if (!described) {
    throw new ImgbuildError("source-invalid", `${display(file.path)} is not a little-endian kernel module`, {
      hint: "Copy the kernel's modules into the root file system again.",
    });
  }
  return described;
}

/**
 * Which modules answer to an alias ("crypto-crc32c"), by alias; exact names only, no patterns. depmod's index serves where
 * the root has one. A kernel package that was unpacked but not installed has none: then the modules of the crypto and
 * library folders are asked, where the aliases lie that soft dependencies of file systems name.
 */
export async function readAliases(folder: ModuleFolder, directory: Directory): Promise<Map<string, string[]>> {
  const providers = new Map<string, string[]>();
  const add = (alias: string, name: string) => {
    const known = providers.get(alias);
    if (known) known.push(name);
    else providers.set(alias, [name]);
  };
  const index = await readText(directory, "modules.alias");
  if (index !== undefined) {
    for (const [, alias, name] of index.matchAll(/^alias (\S+) (\S+)$/gm)) add(canonical(alias!), canonical(name!));
    return providers;
  }
  for (const file of folder.files.values()) {
    if (!/\/kernel\/(?:crypto|lib|arch\/[^/]+\/(?:crypto|lib))\//.test(file.path)) continue;
    for (const alias of (await describeModule(file)).aliases) add(alias, file.name);
  }
  return providers;
}
