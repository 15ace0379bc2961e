/** What goes into each partition: the root with its init script, BootFS, UserData, the bootloader. */
import { gunzipSync } from "node:zlib";
import { display, fromText } from "../bytes/bytestring.js";
import { gzip } from "../codecs/index.js";
import { ImgbuildError } from "../errors.js";
import { buildInitramfs, planInitramfs, readKernel, releaseOfFileName } from "../initramfs/index.js";
import { factoryState, installOverlay, userdataState, userdataUpper } from "../overlay/index.js";
import { kernelOptions } from "../squashfs/index.js";
import { treeDigest } from "../tree/digest.js";
import { type Content, contentOf, newDirectory, newFile, readContent } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { addNode, lookup, splitPath, type Tree, walk } from "../tree/tree.js";
import { bootScript, encodeScript } from "../uboot/index.js";
import { baseLayers } from "./base-layers.js";
import {
  type FileSource,
  findBootFiles,
  findDeviceTrees,
  findFile,
  findFiles,
  findKernel,
  requireFile,
} from "./boot-files.js";
import { slotEnvironment } from "./claims.js";
import { userdataGrowth } from "./growth.js";
import { ROOT_HASH_ARGUMENT, RootHash } from "./hash-tree.js";
import { type Plan, partitionWithRole, secondSlot } from "./plan.js";
import { commandLineText, configText } from "./raspberrypi.js";
import { partuuid } from "./table-ids.js";

export interface BuildInputs {
  /** The root file system. It is changed: the init script and mount points are added. */
  readonly root: Tree;
  /** Where kernel, device trees and boot files are looked for, in this order. */
  readonly bootFiles: readonly FileSource[];
  readonly bootloaderFiles: readonly FileSource[];
  /** Initial content of the overlays, by the paths that it has on the device: home/root/... */
  readonly userdata?: Tree | undefined;
  /** Content of the user's own partitions, by name. */
  readonly sources: ReadonlyMap<string, Tree | Content>;
  /** Every timestamp that is made here, in seconds since 1970. */
  readonly time: number;
  readonly notice: (text: string) => void;
}

export interface Prepared {
  /** Content by partition name; partitions without one stay empty, as slot B does. */
  readonly contents: ReadonlyMap<string, Tree | Content>;
  /** Bootloader files by name. Empty when the board's own is to be used. */
  readonly bootloader: ReadonlyMap<string, Content>;
  /** What the kernel is started with, apart from root= and console=. */
  readonly kernelArguments: readonly string[];
  /** The initramfs's name on BootFS, where there is one. */
  readonly initramfs: string | undefined;
  /** All UUIDs and ids follow from this text. */
  readonly identity: string;
  /** Of a root with a hash tree: one more of the kernel's arguments, which whoever writes the root makes known. */
  readonly rootHash: RootHash | undefined;
}

const INITRAMFS = "initramfs.cpio.gz";

/** What a kernel mounts FAT with: the file system, and the character sets that kernels have as their defaults. */
const BOOTFS_MODULES = ["vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8"];

/** Collects and makes everything that goes into the image. Writes nothing. */
export async function prepare(plan: Plan, inputs: BuildInputs): Promise<Prepared> {
  const { root, time, notice } = inputs;
  const contents = new Map(inputs.sources);
  const identity = `${plan.seed} ${treeDigest(root)}`;
  const userdata = partitionWithRole(plan, "userdata");
  const rootfs = partitionWithRole(plan, "rootfs")!;

  const slots = slotsOf(plan);

  const bootTree: Tree = { root: newDirectory({ mtime: { seconds: time, nanoseconds: 0 } }) };
  const kernelArguments = [`rootfstype=${rootfs.filesystem}`, "ro", "rootwait"];
  if (userdata !== undefined) {
    const { paths, volatile, newRoot, keep } = plan.overlay;
    const growth = userdataGrowth(plan, userdata);
    const { init, lacking, lackingToGrow, added } = await installOverlay(root, {
      paths: paths.map(fromText),
      volatile: volatile.map(fromText),
      newRoot,
      keep: keep.map(fromText),
      userdataPartition: userdata.number,
      layers: baseLayers(plan),
      flagPartition: plan.overlay.resetFlag === "bootfs" ? partitionWithRole(plan, "bootfs")?.number : undefined,
      growth,
      slots,
      time: { seconds: time, nanoseconds: 0 },
    });
    kernelArguments.push(`init=${init}`);
    if (lacking.length > 0) {
      notice(`the root lacks ${lacking.join(", ")}: not all that overlayctl offers will work on the device`);
    }
    if (lackingToGrow.length > 0) {
      notice(`the root lacks ${lackingToGrow.join(", ")}: on a larger medium UserData will not grow to its end`);
    }
    // A power cut between the two sectors that sfdisk changes in a GPT leaves its copy, which the kernel looks at only if told to.
    if (growth !== undefined && plan.storage.table === "gpt") kernelArguments.push("gpt");
    notice(`added to the root: ${added.map(display).join(", ")}`);
    contents.set(userdata.name, userdataTree(plan, inputs));
  }
  kernelArguments.push(...plan.boot.arguments);
  // A new root that does not come up has to end in a restart, so that it is counted.
  if (slots !== undefined && !kernelArguments.some((text) => text.startsWith("panic=")))
    kernelArguments.push("panic=10");

  const rootHash = rootfs.filesystem === "squashfs" && rootfs.verity ? new RootHash() : undefined;
  let initramfs: string | undefined;
  const bootfs = partitionWithRole(plan, "bootfs");
  if (bootfs !== undefined) {
    initramfs = await fillBootfs(plan, inputs, bootTree, kernelArguments, identity, rootHash);
    contents.set(bootfs.name, bootTree);
  }
  contents.set(rootfs.name, root);
  return { contents, bootloader: findBootloader(plan, inputs), kernelArguments, initramfs, identity, rootHash };
}

/** What the boot script and the device have to know about two slots; undefined where there is one. */
function slotsOf(plan: Plan) {
  const [first, second] = [partitionWithRole(plan, "rootfs")!, secondSlot(plan)];
  if (second === undefined) return undefined;
  return {
    ...plan.slots,
    partitions: [first.number, second.number],
    environmentAt: slotEnvironment(plan)!.start,
    sectorSize: plan.storage.sectorSize,
  } as const;
}

/** Puts kernel, device trees, initramfs and what the loader reads into `bootTree`. Returns the initramfs's name. */
async function fillBootfs(
  plan: Plan,
  inputs: BuildInputs,
  bootTree: Tree,
  kernelArguments: readonly string[],
  identity: string,
  rootHash: RootHash | undefined,
): Promise<string | undefined> {
  const { boot } = plan;
  const { time } = inputs;
  const metadata = { mtime: { seconds: time, nanoseconds: 0 } };
  const add = (name: string, content: Content) =>
    addNode(bootTree, fromText(name), newFile(content, metadata), metadata);

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
  /** A file with the kernel's arguments, which a root hash joins when it is known. */
  const withArguments = (make: (all: readonly string[]) => Uint8Array): Content =>
    rootHash?.content((argument) => make([...kernelArguments, argument])) ?? contentOf(make(kernelArguments));
  if (boot.loader === "raspberrypi") {
    const encoder = new TextEncoder();
    const id = partuuid(plan, rootfs, identity);
    add("config.txt", contentOf(encoder.encode(configText(plan, initramfsName))));
    add(
      "cmdline.txt",
      withArguments((all) => encoder.encode(commandLineText(plan, id, all))),
    );
    return initramfsName;
  }
  const script = (all: readonly string[]) => {
    const text = bootScript({
      kernel:
        boot.kernel === "zImage"
          ? { file: boot.kernel, command: "bootz" }
          : { file: boot.kernel, command: "booti", compressed: boot.kernel === "Image.gz" },
      deviceTree: deviceTrees.length > 0 ? { defaultFile: boot.defaultDeviceTree } : undefined,
      initramfs: initramfsName,
      slots: slotsOf(plan),
      rootPartition: rootfs.number,
      arguments: all,
      console: boot.console,
    });
    return encodeScript(text, { name: "imgbuild boot script", time, architecture: plan.architecture });
  };
  add("boot.scr", withArguments(script));
  return initramfsName;
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

/**
 * UserData: the content for each overlaid path, moved to where the init script expects the upper layer. Its root hides the
 * folder's own, and so gets that one's owner and mode.
 */
function userdataTree(plan: Plan, { root, userdata, time }: BuildInputs): Tree {
  const metadata = { mtime: { seconds: time, nanoseconds: 0 } };
  const tree: Tree = { root: newDirectory(metadata) };
  if (userdata === undefined) return tree;
  // As on the device: the layers are beside the folders that may guard what is in them.
  const closed = { ...metadata, mode: 0o700 };
  let used = 0;
  for (const path of plan.overlay.paths.map(fromText)) {
    const content = lookup(userdata, path);
    if (content === undefined) continue;
    if (content.type !== "directory") {
      throw new ImgbuildError(
        "source-invalid",
        `--userdata has ${display(path)} as a ${content.type}, not as a folder`,
        {
          hint: "It becomes the upper layer of an overlay, which is a folder.",
        },
      );
    }
    const { mode, uid, gid } = follow(root, path) ?? content;
    addNode(tree, userdataUpper(path), { ...content, mode, uid, gid }, closed);
    addNode(tree, userdataState(path), newFile(contentOf(Buffer.from(factoryState())), metadata));
    used++;
  }
  if (used === 0) {
    throw new ImgbuildError("source-invalid", "--userdata holds nothing for any overlay", {
      hint: `It is laid out as on the device: put files into ${plan.overlay.paths.map((path) => path.slice(1)).join(" or ")}.`,
    });
  }
  checkCovered(plan, userdata);
  return tree;
}

/** Refuses content that no overlay takes: it would be missing on the device. */
function checkCovered(plan: Plan, userdata: Tree): void {
  const overlays = plan.overlay.paths.map((path) => splitPath(fromText(path)).join("/"));
  const outside = [...walk(userdata)]
    .filter(({ node }) => node.type !== "directory")
    .filter(({ path }) => !overlays.some((overlay) => overlay === "" || path.startsWith(`${overlay}/`)))
    .map(({ path }) => display(path));
  if (outside.length === 0) return;
  const more = outside.length > 5 ? ` and ${outside.length - 5} more` : "";
  throw new ImgbuildError(
    "source-invalid",
    `--userdata has what no overlay takes: ${outside.slice(0, 5).join(", ")}${more}`,
    {
      hint: `Overlays are ${plan.overlay.paths.join(", ")}. Add a path with --set overlay.paths, or take the files out.`,
      data: { outside },
    },
  );
}

function findBootloader(plan: Plan, { bootloaderFiles, notice }: BuildInputs): Map<string, Content> {
  const found = new Map<string, Content>();
  if (plan.bootloader === undefined) return found;
  const missing: string[] = [];
  for (const { file } of plan.bootloader.files) {
    const content = findFile(bootloaderFiles, file);
    if (content === undefined) missing.push(file);
    else found.set(file, content);
  }
  if (missing.length === 0) return found;
  const places = bootloaderFiles.map(({ where }) => where).join(", then in ");
  // Half a bootloader does not boot, and is harder to notice than none.
  if (!plan.bootloader.optional || found.size > 0) {
    throw new ImgbuildError(
      "bootloader-missing",
      `the bootloader is incomplete: ${missing.join(" and ")} not found in ${places}`,
      {
        hint: "Name the folder that holds all of its files with --bootloader DIR.",
        data: { missing, found: [...found.keys()] },
      },
    );
  }
  notice(`no bootloader (${missing.join(", ")}) in ${places}: left out, the board keeps its own`);
  return found;
}
