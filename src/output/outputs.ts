/** The outputs, by the name that --format and a profile's `outputs` have for them. output.ts tells how to add one. */
import type { Plan } from "../image/plan.js";
import type { Output } from "./output.js";

export interface Listed {
  /** What it makes, for the help and the schema. */
  readonly describe: string;
  /** Outputs whose files this one refers to: they are made with it. */
  readonly with?: readonly string[];
  readonly load: () => Promise<Output>;
}

/** In the order in which they are made and listed. */
export const OUTPUTS = {
  img: {
    describe: "emmc.img, the whole user area, sparse",
    with: ["boot0"],
    load: async () => (await import("./image.js")).image,
  },
  partitions: {
    describe: "each partition on its own: rootfs.squashfs, bootfs.vfat, userdata.ext4",
    load: async () => (await import("./partitions.js")).partitions,
  },
  boot0: {
    describe: "boot0.img, the eMMC's boot partition, where the bootloader goes there",
    load: async () => (await import("./boot0.js")).boot0,
  },
  bmap: {
    describe: "emmc.img.bmap, a block map for bmaptool, with checksums",
    load: async () => (await import("./bmap.js")).bmap,
  },
  "img.gz": {
    describe: "emmc.img.gz",
    with: ["boot0"],
    load: async () => (await import("./compressed-image.js")).compressedImage("gz"),
  },
  "img.xz": {
    describe: "emmc.img.xz",
    with: ["boot0"],
    load: async () => (await import("./compressed-image.js")).compressedImage("xz"),
  },
  "img.zst": {
    describe: "emmc.img.zst",
    with: ["boot0"],
    load: async () => (await import("./compressed-image.js")).compressedImage("zst"),
  },
  simg: {
    describe: "emmc.simg, an Android sparse image for fastboot",
    with: ["boot0"],
    load: async () => (await import("./simg.js")).simg,
  },
  tezi: {
    describe: "tezi/ and image_list.json, for the Toradex Easy Installer",
    load: async () => (await import("./tezi/tezi.js")).tezi,
  },
  "tezi.tar": {
    describe: "PROFILE_tezi.tar, the folder tezi/ as one file",
    with: ["tezi"],
    load: async () => (await import("./tezi/archive.js")).teziArchive,
  },
  uuu: {
    describe:
      "uuu.auto, the bootloader's files and the folder uuu, for NXP's uuu: over USB, with the board in recovery mode",
    with: ["boot0"],
    load: async () => (await import("./uuu.js")).uuu,
  },
  swupdate: {
    describe: "update.swu, the root for SWUpdate",
    load: async () => (await import("./swupdate.js")).swupdate,
  },
  rauc: {
    describe: "update.raucb, a bundle for RAUC, or what one is made of; and rauc, what the device needs for it",
    load: async () => (await import("./rauc.js")).rauc,
  },
} as const satisfies Record<string, Listed>;

export type OutputName = keyof typeof OUTPUTS;

export const OUTPUT_NAMES = Object.keys(OUTPUTS) as [OutputName, ...OutputName[]];

export const DEFAULT_OUTPUTS: readonly OutputName[] = ["img", "partitions"];

/** "img: emmc.img, the whole user area, sparse; ..." */
export function describeOutputs(): string {
  return OUTPUT_NAMES.map((name) => `${name}: ${OUTPUTS[name].describe}`).join("; ");
}

/** The outputs of a plan and those that go with them, in the order in which they are made, checked against the plan. */
export async function outputsOf(plan: Plan): Promise<ReadonlyMap<OutputName, Output>> {
  const wanted = new Set<string>();
  const want = (name: string) => {
    if (wanted.has(name)) return;
    wanted.add(name);
    const { with: others = [] }: Listed = OUTPUTS[name as OutputName];
    for (const other of others) want(other);
  };
  for (const name of plan.outputs) want(name);
  const outputs = new Map<OutputName, Output>();
  for (const name of OUTPUT_NAMES) {
    if (!wanted.has(name)) continue;
    const output: Output = await OUTPUTS[name].load();
    output.check?.(plan);
    outputs.set(name, output);
  }
  return outputs;
}
