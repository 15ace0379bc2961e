/** The commands by name. Each is loaded when it is asked for: what it needs takes longer to load than a small image to make. */
import type { Command } from "./declare.js";

interface Entry {
  /** For the list in the help. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** In the order of the help. */
export const COMMANDS = {
  build: {
    summary: "an image for a board; the word build may be left out",
    load: async () => (await import("./build.js")).build,
  },
  squashfs: {
    summary: "a SquashFS, as mksquashfs makes one",
    load: async () => (await import("./squashfs.js")).squashfs,
  },
  ext4: { summary: "an ext4, as mke2fs -d makes one", load: async () => (await import("./ext4.js")).ext4 },
  fat: { summary: "a FAT, as mkfs.fat and mcopy make one", load: async () => (await import("./fat.js")).fat },
  inspect: { summary: "what an image holds", load: async () => (await import("./inspect.js")).inspect },
  ls: { summary: "the files in a partition of an image", load: async () => (await import("./ls.js")).ls },
  cat: { summary: "a file in a partition of an image", load: async () => (await import("./cat.js")).cat },
  extract: {
    summary: "a partition of an image, into a folder or as a tar",
    load: async () => (await import("./extract.js")).extract,
  },
  verify: { summary: "whether an image is sound", load: async () => (await import("./verify.js")).verify },
  diff: { summary: "what changed between two images", load: async () => (await import("./diff.js")).diff },
  flash: { summary: "an image onto a card or a disk", load: async () => (await import("./flash.js")).flash },
  boot: { summary: "an image in QEMU", load: async () => (await import("./boot.js")).boot },
  env: { summary: "an environment of U-Boot: print, set, make", load: async () => (await import("./env.js")).env },
  "tezi-list": {
    summary: "the list of a web server's images for the Toradex Easy Installer",
    load: async () => (await import("./tezi-list.js")).teziList,
  },
  profiles: {
    summary: "the list of profiles, or one of them, resolved",
    load: async () => (await import("./profiles.js")).profiles,
  },
  schema: { summary: "the JSON Schema of profiles", load: async () => (await import("./profiles.js")).schema },
  completion: {
    summary: "a completion script for bash and zsh",
    load: async () => (await import("./completion.js")).completion,
  },
} as const satisfies Record<string, Entry>;

export type CommandName = keyof typeof COMMANDS;

export const isCommand = (name: string): name is CommandName => Object.hasOwn(COMMANDS, name);
