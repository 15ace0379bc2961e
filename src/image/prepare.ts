/** What goes into each partition: the root with its init script, BootFS, UserData, the bootloader. */
import { display, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { installOverlay } from "../overlay/index.js";
import { treeDigest } from "../tree/digest.js";
import type { Content } from "../tree/node.js";
import type { Tree } from "../tree/tree.js";
import { baseLayers } from "./base-layers.js";
import { type FileSource, findFile } from "./boot-files.js";
import { bootfsTree } from "./bootfs.js";
import { slotEnvironment } from "./claims.js";
import { userdataGrowth } from "./growth.js";
import { RootHash } from "./hash-tree.js";
import { type Plan, partitionWithRole, secondSlot } from "./plan.js";
import { type UserdataSource, userdataTree } from "./userdata.js";

export interface BuildInputs {
  /** The root file system. It is changed: the init script and mount points are added. */
  readonly root: Tree;
  /** Where kernel, device trees and boot files are looked for, in this order. */
  readonly bootFiles: readonly FileSource[];
  readonly bootloaderFiles: readonly FileSource[];
  /** Initial content of the overlays, by the paths that it has on the device: home/root/... */
  readonly userdata?: UserdataSource | undefined;
  /** Content of the user's own partitions, by name. */
  readonly sources: ReadonlyMap<string, Tree | Content>;
  /** Every timestamp that is made here, in seconds since 1970. */
  readonly time: number;
  readonly notice: (text: string) => void;
  /** Whether it is told at length. */
  readonly verbose?: boolean;
}

export interface Prepared {
  /** Content by partition name; partitions without one stay empty, as slot B does. */
  readonly contents: ReadonlyMap<string, Tree | Content>;
  /** Bootloader files by name, with those of tezi.bootloader that there are. Empty when the board's own is to be used. */
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

/** Collects and makes everything that goes into the image. Writes nothing. */
export async function prepare(plan: Plan, inputs: BuildInputs): Promise<Prepared> {
  const { root, time, notice } = inputs;
  const contents = new Map(inputs.sources);
  const identity = `${plan.seed} ${treeDigest(root)}`;
  const userdata = partitionWithRole(plan, "userdata");
  const rootfs = partitionWithRole(plan, "rootfs")!;

  const slots = slotsOf(plan);

  const kernelArguments = [`rootfstype=${rootfs.filesystem}`, "ro", "rootwait"];
  if (userdata !== undefined) {
    const { paths, volatile, newRoot, keep } = plan.overlay;
    const growth = userdataGrowth(plan, userdata);
    const { init, lacking, lackingToGrow, keptNowhere, added } = await installOverlay(root, {
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
    for (const pattern of keptNowhere)
      notice(
        `overlay.keep: "${display(pattern)}" is in none of the overlays, ${paths.join(", ")}: a factory reset keeps nothing by it`,
      );
    // A power cut between the two sectors that sfdisk changes in a GPT leaves its copy, which the kernel looks at only if told to.
    if (growth !== undefined && plan.storage.table === "gpt") kernelArguments.push("gpt");
    if (inputs.verbose) notice(`added to the root: ${added.map(display).join(", ")}`);
    else notice(`${added.length} files added to the root for the overlay; --verbose lists them`);
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
    const made = await bootfsTree(plan, inputs, { kernelArguments, identity, rootHash, slots });
    contents.set(bootfs.name, made.tree);
    initramfs = made.initramfs;
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

function findBootloader(plan: Plan, { bootloaderFiles, notice }: BuildInputs): Map<string, Content> {
  const found = new Map<string, Content>();
  if (plan.bootloader === undefined) return found;
  const missing: string[] = [];
  for (const { file } of plan.bootloader.files) {
    const content = findFile(bootloaderFiles, file);
    if (content === undefined) missing.push(file);
    else found.set(file, content);
  }
  if (missing.length === 0) return withVariants(plan, found, bootloaderFiles);
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
  const without =
    plan.bootloader.area === "boot0"
      ? "left out, the board keeps its own"
      : "left out; flashing may overwrite one that is on the medium";
  notice(`no bootloader (${missing.join(", ")}) in ${places}: ${without}`);
  return found;
}

/** With those files that the Toradex Easy Installer gives to some modules in place of others, as far as there are any. */
function withVariants(
  { tezi }: Plan,
  found: Map<string, Content>,
  sources: readonly FileSource[],
): Map<string, Content> {
  for (const file of Object.values(tezi?.bootloader ?? {}).flatMap((byProduct) => Object.keys(byProduct))) {
    const content = findFile(sources, file);
    if (content !== undefined) found.set(file, content);
  }
  return found;
}
