/** What is on BootFS: kernel, device trees, initramfs, and what the loader reads. */
import { gunzipSync } from "node:zlib";
import { fromText } from "../bytes/bytestring.js";
import { gzip } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { buildInitramfs, planInitramfs, readKernel, releaseOfFileName } from "../initramfs/index.js";
import { kernelOptions } from "../squashfs/index.js";
import { type Content, contentOf, newDirectory, newFile, readContent } from "../tree/node.js";
import { addNode, type Tree } from "../tree/tree.js";
import { type BootScript, bootScript, encodeScript } from "../uboot/index.js";
import { type FileSource, findBootFiles, findDeviceTrees, findFiles, findKernel, requireFile } from "./boot-files.js";
import { ROOT_HASH_ARGUMENT, type RootHash } from "./hash-tree.js";
import { type KernelFormat, type Plan, partitionWithRole } from "./plan.js";
import type { BuildInputs } from "./prepare.js";
import { commandLineText, configText } from "./raspberrypi.js";
import { partuuid } from "./table-ids.js";

const INITRAMFS = "initramfs.cpio.gz";

/** What a kernel mounts FAT with: the file system, and the character sets that kernels have as their defaults. */
const BOOTFS_MODULES = ["vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8"];

/** What the loader starts the kernel with. */
export interface BootFacts {
  /** But for root=, console= and the root hash. */
  readonly kernelArguments: readonly string[];
  readonly identity: string;
  readonly rootHash: RootHash | undefined;
  readonly slots: BootScript["slots"];
}

/** Kernel, device trees, initramfs and what the loader reads; and the initramfs's name there. */
export async function bootfsTree(
  plan: Plan,
  inputs: BuildInputs,
  { kernelArguments, identity, rootHash, slots }: BootFacts,
): Promise<{ tree: Tree; initramfs: string | undefined }> {
  const { boot } = plan;
  const { time } = inputs;
  const metadata = { mtime: { seconds: time, nanoseconds: 0 } };
  const tree: Tree = { root: newDirectory(metadata) };
  const add = (name: string, content: Content) => addNode(tree, fromText(name), newFile(content, metadata), metadata);

  const kernel = await findKernel(inputs.bootFiles, boot.kernel, boot.kernelFile);
  add(boot.kernel, contentOf(await inFormat(kernel.bytes, kernel.compressed, boot.kernel === "Image.gz")));
  const deviceTrees = findDeviceTrees(inputs.bootFiles, boot.deviceTrees);
  const { defaultDeviceTree } = boot;
  if (defaultDeviceTree !== undefined && !deviceTrees.some(({ name }) => name === defaultDeviceTree)) {
    throw new ImgbuildError(
      "devicetree-missing",
      `the default device tree ${defaultDeviceTree} is not among those found`,
      {
        hint: `Found: ${deviceTrees.map(({ name }) => name).join(", ") || "none"}. Choose one with --set boot.defaultDeviceTree=NAME.`,
      },
    );
  }
  for (const { name, content } of deviceTrees) add(name, content);
  for (const [name, content] of findBootFiles(inputs.bootFiles, boot.files)) add(name, content);

  const initramfs = await initramfsContent(plan, inputs, kernel.name, kernel.bytes);
  if (initramfs !== undefined) add(INITRAMFS, initramfs);
  const initramfsName = initramfs === undefined ? undefined : INITRAMFS;
  const rootfs = partitionWithRole(plan, "rootfs")!;
  /** A file that has the root hash in it, where there is one; that is known when the file is read. */
  const withRootHash = (make: (hash: string | undefined) => Uint8Array): Content =>
    rootHash?.content(make) ?? contentOf(make(undefined));
  const allArguments = (hash: string | undefined) =>
    hash === undefined ? kernelArguments : [...kernelArguments, `${ROOT_HASH_ARGUMENT}${hash}`];
  if (boot.loader === "raspberrypi") {
    const encoder = new TextEncoder();
    const id = partuuid(plan, rootfs, identity);
    add("config.txt", contentOf(encoder.encode(configText(plan, initramfsName))));
    add(
      "cmdline.txt",
      withRootHash((hash) => encoder.encode(commandLineText(plan, id, allArguments(hash)))),
    );
    return { tree, initramfs: initramfsName };
  }
  const script = (hash: string | undefined) => {
    const text = bootScript({
      kernel: kernelOfScript(boot.kernel),
      deviceTree: deviceTrees.length > 0 ? { defaultFile: boot.defaultDeviceTree } : undefined,
      initramfs: initramfsName,
      // With two slots each root has its hash: the script chooses it, as it does the slot.
      slots: slots && { ...slots, rootHash: hash },
      rootPartition: rootfs.number,
      arguments: slots === undefined ? allArguments(hash) : kernelArguments,
      console: boot.console,
    });
    return encodeScript(text, { name: "imgbuild boot script", time, architecture: plan.architecture });
  };
  add("boot.scr", withRootHash(script));
  return { tree, initramfs: initramfsName };
}

/** The kernel as the boot script starts it. */
function kernelOfScript(file: KernelFormat): BootScript["kernel"] {
  switch (file) {
    case "zImage":
      return { file, command: "bootz" };
    case "bzImage":
      return { file, command: "zboot" };
    default:
      return { file, command: "booti", compressed: file === "Image.gz" };
  }
}

/** A kernel as gzip, or as it is; at one level, so that the bytes do not depend on how it was found. */
async function inFormat(bytes: Uint8Array, compressed: boolean, wanted: boolean): Promise<Uint8Array> {
  if (compressed === wanted) return bytes;
  return wanted ? gzip(bytes, 9) : gunzipSync(bytes);
}

/** The initramfs that the profile names, the one that the kernel needs, or none. */
async function initramfsContent(
  plan: Plan,
  inputs: BuildInputs,
  kernelName: string,
  kernel: Uint8Array,
): Promise<Content | undefined> {
  const { boot } = plan;
  const rootfs = partitionWithRole(plan, "rootfs")!;
  const verity = rootfs.filesystem === "squashfs" && rootfs.verity;
  if (verity && boot.initramfs !== "auto") {
    inputs.notice(
      `boot.initramfs is ${boot.initramfs}: the kernel checks nothing unless that sets up dm-verity with the root hash in ${ROOT_HASH_ARGUMENT}`,
    );
  }
  if (boot.initramfs !== "auto" && boot.initramfs !== "none") {
    return requireFile(inputs.bootFiles, boot.initramfs, "the initramfs that boot.initramfs names");
  }
  const writable = partitionWithRole(plan, "userdata") === undefined ? [] : (["overlay", "ext4"] as const);
  const planned = await planInitramfs(inputs.root, {
    ...(await kernelFacts(inputs.bootFiles, kernelName, kernel)),
    drivers: boot.drivers,
    optionalDrivers: [...boot.optionalDrivers, ...(plan.overlay.resetFlag === "bootfs" ? BOOTFS_MODULES : [])],
    verity: verity && boot.initramfs === "auto",
    filesystems: [...(rootfs.filesystem === "squashfs" ? (["squashfs"] as const) : []), ...writable],
    compressor:
      rootfs.filesystem === "squashfs"
        ? { name: rootfs.compressor, kernelOptions: kernelOptions(rootfs.compressor, rootfs.xz) }
        : undefined,
  });
  for (const text of planned.notices) inputs.notice(text);
  if (!planned.needed) return undefined;
  if (boot.initramfs === "none") {
    const names = planned.modules.map(({ name }) => name).join(", ");
    inputs.notice(`boot.initramfs is none, but the kernel has to load modules before it finds its root: ${names}`);
    return undefined;
  }
  const busybox =
    boot.busybox === undefined
      ? undefined
      : requireFile(inputs.bootFiles, boot.busybox, "the busybox that boot.busybox names");
  return contentOf(await buildInitramfs(inputs.root, planned, { busybox, mtime: inputs.time }));
}

/** Release and configuration of the kernel: by its file's name, by itself, or by the only config-RELEASE beside it. */
async function kernelFacts(
  sources: readonly FileSource[],
  name: string,
  kernel: Uint8Array,
): Promise<{ release?: string | undefined; config?: string | undefined }> {
  const named = releaseOfFileName(name);
  const facts = named === undefined ? await readKernel(kernel) : { release: named };
  if ("config" in facts) return facts;
  const configs = findFiles(sources, facts.release === undefined ? "config-*" : `config-${facts.release}`);
  const [config] = configs;
  if (config === undefined || configs.length > 1) return facts;
  return {
    release: config.name.slice("config-".length),
    config: new TextDecoder().decode(await readContent(config.content)),
  };
}
