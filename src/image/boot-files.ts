/** Finding the kernel, the device trees and the bootloader among the files a user has. */
import picomatch from "picomatch";
import { type ByteString, fromText } from "../bytes/bytestring.js";
import { ImgbuildError } from "../errors.js";
import { type Content, readContent } from "../tree/node.js";
import { follow } from "../tree/real-path.js";
import { type Tree, walk } from "../tree/tree.js";
import type { KernelFormat } from "./plan.js";

/** A place where boot files were looked for. */
export interface FileSource {
  /** What messages call it: a path. */
  readonly where: string;
  /** By path below it, "/" between names. */
  readonly files: ReadonlyMap<string, Content>;
}

export interface FoundFile {
  /** Its last name. */
  readonly name: string;
  readonly content: Content;
}

/** The regular files below `path` of a tree; symlinks count as the files that they lead to on the device. */
export function filesInTree(tree: Tree, path: string, where: string): FileSource {
  const files = new Map<string, Content>();
  const folder = follow(tree, fromText(path));
  if (folder?.type === "directory") {
    for (const { path: name, node } of walk({ root: folder })) {
      const target = node.type === "symlink" ? follow(tree, `${fromText(path)}/${name}` as ByteString) : node;
      if (target?.type === "file") files.set(name, target.content);
    }
  }
  return { where, files };
}

const baseName = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** All files whose last name matches `pattern` (* and ?), each name once, the first source first, by name. */
export function findFiles(sources: readonly FileSource[], pattern: string): FoundFile[] {
  const matches = picomatch(pattern);
  const found = new Map<string, FoundFile>();
  for (const { files } of sources) {
    for (const [path, content] of files) {
      const name = baseName(path);
      if (matches(name) && !found.has(name)) found.set(name, { name, content });
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The sources as text for a message. */
function places(sources: readonly FileSource[]): string {
  return sources.map(({ where }) => where).join(", then in ") || "no folder";
}

interface FormatFacts {
  /** Names that kernels of this format go by, the surest first. */
  readonly names: readonly string[];
  readonly looksRight: (bytes: Uint8Array) => boolean;
}

const word = (bytes: Uint8Array, at: number) =>
  bytes.length >= at + 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true) : undefined;
const isGzip = (bytes: Uint8Array) => bytes[0] === 0x1f && bytes[1] === 0x8b;
/** Linux Documentation/arch/arm64/booting.rst: "ARM\x64" at byte 56. */
const isArm64Image = (bytes: Uint8Array) => word(bytes, 56) === 0x644d5241;
/** Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header": "HdrS" at byte 0x202. */
const isBzImage = (bytes: Uint8Array) => word(bytes, 0x202) === 0x53726448;

const FORMATS: Readonly<Record<KernelFormat, FormatFacts>> = {
  // Linux arch/arm/boot/compressed/head.S: the magic number 0x016f2818 at byte 36.
  zImage: {
    names: ["zImage", "zImage-*", "vmlinuz", "vmlinuz-*"],
    looksRight: (bytes) => word(bytes, 36) === 0x016f2818,
  },
  Image: { names: ["Image", "Image-*", "vmlinuz", "vmlinuz-*", "Image.gz", "Image.gz-*"], looksRight: isArm64Image },
  "Image.gz": { names: ["Image.gz", "Image.gz-*", "Image", "Image-*", "vmlinuz", "vmlinuz-*"], looksRight: isGzip },
  bzImage: { names: ["bzImage", "bzImage-*", "vmlinuz", "vmlinuz-*"], looksRight: isBzImage },
};

/** The formats of which one is the other, packed with gzip. */
const isForArm64 = (format: KernelFormat) => format === "Image" || format === "Image.gz";

export interface FoundKernel {
  /** The file it was found as. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Whether the bytes are a gzip file, or the kernel as such. */
  readonly compressed: boolean;
}

/**
 * The kernel in `format`, or one that only has to be compressed or decompressed for it. `file` names it where there is a
 * choice. Throws `kernel-missing` when there is none or more than one, `kernel-unsupported` when it is for another machine.
 */
export async function findKernel(
  sources: readonly FileSource[],
  format: KernelFormat,
  file: string | undefined,
): Promise<FoundKernel> {
  const { names, looksRight } = FORMATS[format];
  for (const pattern of file === undefined ? names : [file]) {
    const found = findFiles(sources, pattern);
    if (found.length > 1) {
      throw new ImgbuildError(
        "kernel-missing",
        `there is more than one kernel: ${found.map(({ name }) => name).join(", ")}`,
        {
          hint: `Say which: --set boot.kernelFile=${found.at(-1)!.name}`,
        },
      );
    }
    const [kernel] = found;
    if (kernel === undefined) continue;
    const bytes = await readContent(kernel.content);
    const compressed = isGzip(bytes);
    if (looksRight(bytes) || (isForArm64(format) && (compressed || isArm64Image(bytes)))) {
      return { name: kernel.name, bytes, compressed };
    }
    throw new ImgbuildError("kernel-unsupported", `${kernel.name} is not a kernel of the format ${format}`, {
      hint: `This board boots an ${format}. Is the file for another architecture? Name another with --set boot.kernelFile=NAME.`,
    });
  }
  throw new ImgbuildError("kernel-missing", `no kernel was found: looked in ${places(sources)}`, {
    hint: `Put ${file ?? `${format} (or vmlinuz-VERSION)`} into one of these folders, or name its folder with --boot-files DIR.`,
    data: { format, places: sources.map(({ where }) => where) },
  });
}

/** All of the board's device trees that are there. Throws `devicetree-missing` when there is none of them. */
export function findDeviceTrees(sources: readonly FileSource[], patterns: readonly string[]): FoundFile[] {
  const found = new Map(patterns.flatMap((pattern) => findFiles(sources, pattern)).map((file) => [file.name, file]));
  if (found.size === 0 && patterns.length > 0) {
    throw new ImgbuildError(
      "devicetree-missing",
      `no device tree ${patterns.join(" or ")} was found: looked in ${places(sources)}`,
      {
        hint: "Copy the kernel's .dtb files for this board into one of these folders, or name their folder with --boot-files DIR.",
        data: { patterns, places: sources.map(({ where }) => where) },
      },
    );
  }
  return [...found.values()];
}

/**
 * The files that a profile's `boot.files` asks for, by their paths on BootFS. A name without * or ? has to be there, else
 * this throws `source-missing`; a pattern is matched against as many of a path's last names as it has itself.
 */
export function findBootFiles(sources: readonly FileSource[], patterns: readonly string[]): Map<string, Content> {
  const found = new Map<string, Content>();
  for (const pattern of patterns) {
    if (!/[*?]/.test(pattern)) {
      found.set(pattern, requireFile(sources, pattern, "which boot.files asks for"));
      continue;
    }
    const matches = picomatch(pattern);
    const depth = pattern.split("/").length;
    for (const { files } of sources) {
      for (const [path, content] of files) {
        const end = path.split("/").slice(-depth).join("/");
        if (matches(end) && !found.has(end)) found.set(end, content);
      }
    }
  }
  return found;
}

/** The file of that name, or undefined. */
export function findFile(sources: readonly FileSource[], name: string): Content | undefined {
  for (const { files } of sources) {
    for (const [path, content] of files) if (path === name || baseName(path) === name) return content;
  }
  return undefined;
}

/** The file of that name. Throws `source-missing`, saying what the file is for. */
export function requireFile(sources: readonly FileSource[], name: string, purpose: string): Content {
  const content = findFile(sources, name);
  if (content !== undefined) return content;
  throw new ImgbuildError("source-missing", `${name}, ${purpose}, was not found: looked in ${places(sources)}`, {
    hint: "Put it into one of these folders, or name its folder with --boot-files DIR.",
  });
}
