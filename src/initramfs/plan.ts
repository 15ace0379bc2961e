/** Whether the kernel reaches its root by itself, and which modules it has to load first where it does not. */
import { type ByteString, display } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import type { Directory } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import type { ElfTarget } from "./elf.js";
import { type KernelConfig, parseKernelConfig } from "./kernel.js";
import { canonical } from "./modinfo.js";
import { describeModule, type ModuleFolder, moduleFolders, readAliases, readModuleFolder } from "./modules.js";
import { type PlannedProgram, planProgram } from "./programs.js";

export type FileSystemName = "squashfs" | "overlay" | "ext4";
/** What the image needs of the kernel beside drivers, by the module that has it. */
type Feature = FileSystemName | "dm_verity";

export interface InitramfsRequest {
  /** The kernel's release (`uname -r`), where it is known; it chooses the folder in lib/modules. */
  readonly release?: string;
  /** The text of the kernel's configuration, where there is one: config-RELEASE, or what `readKernel` found. */
  readonly config?: string;
  /** Modules that drive the board's storage, by name: without them the root is not found. */
  readonly drivers: readonly string[];
  /** Modules that are loaded too where the kernel has them. */
  readonly optionalDrivers?: readonly string[];
  /** What the image needs the kernel to mount. */
  readonly filesystems: readonly FileSystemName[];
  /** Whether the root has a hash tree, which the kernel checks it by. Nothing but an initramfs can set that up. */
  readonly verity?: boolean;
  /** How the root is compressed, where it is SquashFS: the compressor, and the kernel's options for it. */
  readonly compressor?: { readonly name: string; readonly kernelOptions: readonly string[] };
}

export interface PlannedModule {
  /** As lsmod shows it. */
  readonly name: string;
  /** Its file in the root file system. */
  readonly path: ByteString;
  /** Wanted, not needed: one that speeds something up on processors which have what it uses. It may fail to load. */
  readonly optional: boolean;
}

/** What `planInitramfs` found. Plain data, for `--dry-run` to print. */
export type InitramfsPlan =
  | { readonly needed: false; readonly notices: readonly string[] }
  | {
      readonly needed: true;
      /** The kernel's that the modules are for; undefined where there are none of any. */
      readonly release: string | undefined;
      /** In the order in which they have to be loaded. */
      readonly modules: readonly PlannedModule[];
      /** The processor that the modules are for; the busybox has to match. */
      readonly target: ElfTarget;
      readonly programs: readonly PlannedProgram[];
      readonly notices: readonly string[];
    };

const OPTIONS: Readonly<Record<Feature, string>> = {
  squashfs: "CONFIG_SQUASHFS",
  overlay: "CONFIG_OVERLAY_FS",
  ext4: "CONFIG_EXT4_FS",
  dm_verity: "CONFIG_DM_VERITY",
};

const DMSETUP_HINT = "Install it in the root file system, with its libraries (Debian: dmsetup), or leave verity out.";

/**
 * Decides from the kernel's configuration, else from modules.builtin and the modules in the root file system, else it takes
 * everything for built in and says so. Throws `kernel-unsupported` errors that name the option to set, and for modules of
 * several kernels when nothing tells which one boots.
 */
export async function planInitramfs(tree: Tree, request: InitramfsRequest): Promise<InitramfsPlan> {
  const notices: string[] = [];
  const config = request.config === undefined ? undefined : parseKernelConfig(request.config);
  if (config) checkOptions(config, request, notices);

  const found = chooseFolder(tree, request.release);
  if (!found) {
    const others = [...moduleFolders(tree).keys()].sort();
    if (others.length > 0) {
      notices.push(
        `the kernel is ${request.release}, but the root file system has modules for ${others.join(", ")} only`,
      );
    }
  }
  const folder = found && (await readModuleFolder(found.release, found.path, found.directory));
  const modular: string[] = [];
  for (const name of [...request.drivers, ...(request.optionalDrivers ?? [])]) {
    if (!folder || folder.isBuiltin(canonical(name))) continue;
    if (folder.files.has(canonical(name))) modular.push(canonical(name));
    else if (folder.knowsBuiltin && request.drivers.includes(name)) throw missingDriver(name, folder.release);
  }
  for (const name of [...request.filesystems, ...(request.verity ? (["dm_verity"] as const) : [])]) {
    const place = placeOf(name, config, folder, request.release);
    if (place === "module") modular.push(name);
    if (place === "unknown") notices.push(`nothing tells whether the kernel has ${OPTIONS[name]}; taken for built in`);
  }
  const programs = request.verity ? [await planProgram(tree, "dmsetup", DMSETUP_HINT)] : [];
  if (modular.length === 0 && programs.length === 0) return { needed: false, notices };

  if (config) checkInitramfsOptions(config);
  const order = folder && new LoadOrder(folder, found!.directory);
  for (const name of modular) await order!.add(name);
  const { modules, target } = order?.result() ?? { modules: [], target: undefined };
  return { needed: true, release: folder?.release, modules, target: target ?? programs[0]!.target, programs, notices };
}

function missingDriver(name: string, release: string): ImgbuildError {
  return new ImgbuildError(
    "kernel-unsupported",
    `the kernel ${release} has the driver ${name} neither built in nor among the modules in the root file system`,
    {
      hint: `Install the module in lib/modules/${release}. If this kernel has it under another name, say so in boot.drivers.`,
      data: { driver: name, release },
    },
  );
}

/** The modules of the kernel that boots; undefined where there are none. */
function chooseFolder(
  tree: Tree,
  release: string | undefined,
): { release: string; path: ByteString; directory: Directory } | undefined {
  const folders = moduleFolders(tree);
  const names = [...folders.keys()].sort();
  if (release === undefined && names.length > 1) {
    throw new ImgbuildError(
      "kernel-unsupported",
      `the root file system has modules for ${names.join(", ")}, and nothing tells which of these kernels boots`,
      {
        hint: "Remove the others from lib/modules, or name the kernel's file vmlinuz-RELEASE.",
        data: { releases: names },
      },
    );
  }
  const chosen = release ?? names[0];
  const folder = chosen === undefined ? undefined : folders.get(chosen);
  return folder && { release: chosen!, ...folder };
}

/** Where the kernel has a file system: the configuration says, else the build's own list of what is built in. */
function placeOf(
  name: Feature,
  config: KernelConfig | undefined,
  folder: ModuleFolder | undefined,
  release: string | undefined,
): "builtin" | "module" | "unknown" {
  const option = OPTIONS[name];
  const which = (folder?.release ?? release) ? `the kernel ${folder?.release ?? release}` : "the kernel";
  const value = config?.get(option);
  if (value === "y" || (!config && folder?.isBuiltin(name))) return "builtin";
  if (folder?.files.has(name) && (!config || value === "m")) return "module";
  if (value === "m") {
    throw new ImgbuildError(
      "kernel-unsupported",
      `${which} has ${name} as a module, which the root file system lacks`,
      {
        hint: `Copy the kernel's modules to lib/modules/${release ?? "RELEASE"}, or build the kernel with ${option}=y.`,
        data: { option },
      },
    );
  }
  if (config || folder?.knowsBuiltin) {
    const reason = config ? `${option} is not set` : "it is neither built in nor among the modules in the root";
    throw new ImgbuildError(
      "kernel-unsupported",
      `${which} cannot ${name === "dm_verity" ? "check the root with dm-verity" : `mount ${name}`}: ${reason}`,
      {
        hint: `Build the kernel with ${option}=y, or with ${option}=m and its modules in lib/modules.`,
        data: { option },
      },
    );
  }
  return "unknown";
}

/** What else the kernel needs to mount the image and to run the overlay's script. Only a configuration tells. */
function checkOptions(config: KernelConfig, request: InitramfsRequest, notices: string[]): void {
  const isSet = (option: string) => config.get(option) === "y";
  if (request.compressor && request.filesystems.includes("squashfs")) {
    const { name, kernelOptions } = request.compressor;
    const option = kernelOptions.find((needed) => !isSet(needed));
    if (config.has("CONFIG_SQUASHFS") && option !== undefined) {
      throw new ImgbuildError(
        "kernel-unsupported",
        `the kernel cannot read SquashFS compressed with ${name}: ${option} is not set`,
        {
          hint: `Build the kernel with ${option}=y, or choose another compressor (partitions.rootfs.compressor, and with xz partitions.rootfs.xz.filters).`,
          data: { option },
        },
      );
    }
    if (!isSet("CONFIG_SQUASHFS_XATTR")) {
      notices.push("CONFIG_SQUASHFS_XATTR is not set: file capabilities and ACLs of the root have no effect");
    }
  }
  if (!isSet("CONFIG_TMPFS")) {
    notices.push("CONFIG_TMPFS is not set: there is nothing to write to when UserData fails");
  }
  if (!isSet("CONFIG_DEVTMPFS")) {
    notices.push("CONFIG_DEVTMPFS is not set: the root file system has to have its own device nodes in /dev");
  }
}

/** What the kernel needs to unpack the initramfs, and what the script in it works with. */
function checkInitramfsOptions(config: KernelConfig): void {
  for (const option of ["CONFIG_BLK_DEV_INITRD", "CONFIG_RD_GZIP", "CONFIG_DEVTMPFS"]) {
    if (config.get(option) === "y") continue;
    throw new ImgbuildError(
      "kernel-unsupported",
      `the kernel needs an initramfs to load modules, but ${option} is not set`,
      {
        hint: `Build the kernel with ${option}=y, or with the storage drivers and file systems built in.`,
        data: { option },
      },
    );
  }
}

/** Collects modules, each after the ones that it needs, as modprobe would load them. */
class LoadOrder {
  readonly #folder: ModuleFolder;
  readonly #directory: Directory;
  readonly #modules = new Map<string, PlannedModule>();
  readonly #pending = new Set<string>();
  #target: ElfTarget | undefined;
  #aliases: Map<string, string[]> | undefined;

  constructor(folder: ModuleFolder, directory: Directory) {
    this.#folder = folder;
    this.#directory = directory;
  }

  /** Adds the module of that canonical name, after what it wants (`softdep: pre:`) and depends on. */
  async add(name: string, optional = false): Promise<void> {
    const known = this.#modules.get(name);
    if (this.#pending.has(name) || (known && (optional || !known.optional))) return;
    this.#pending.add(name);
    const file = this.#folder.files.get(name)!;
    const module = await describeModule(file);
    for (const wanted of module.wants) {
      for (const provider of await this.#providers(wanted)) await this.add(provider, true);
    }
    for (const needed of module.depends) {
      if (this.#folder.isBuiltin(needed)) continue;
      if (!this.#folder.files.has(needed)) {
        throw new ImgbuildError(
          "kernel-unsupported",
          `${display(file.path)} needs the module ${needed}, which the root file system lacks`,
          { hint: `Copy all modules of the kernel to lib/modules/${this.#folder.release}.` },
        );
      }
      await this.add(needed, optional);
    }
    // A module that was optional until now keeps its place, which is after all that it depends on.
    this.#modules.set(name, { name, path: file.path, optional });
    this.#target = module.target;
    this.#pending.delete(name);
  }

  /** The target is undefined while there is no module. */
  result(): { modules: readonly PlannedModule[]; target: ElfTarget | undefined } {
    return { modules: [...this.#modules.values()], target: this.#target };
  }

  /** The modules that answer to a soft dependency; none where the kernel has it, or where it is not there at all. */
  async #providers(wanted: string): Promise<readonly string[]> {
    if (this.#folder.isBuiltin(wanted)) return [];
    if (this.#folder.files.has(wanted)) return [wanted];
    this.#aliases ??= await readAliases(this.#folder, this.#directory);
    return (this.#aliases.get(wanted) ?? []).filter((name) => this.#folder.files.has(name));
  }
}
