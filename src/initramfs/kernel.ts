/** What a kernel image tells about itself, and what its configuration says. */
import type { CompressionFormat } from "../codecs/decompress.js";
import { expand, expandUntilDamage } from "./decompress.js";

/** The values of a kernel's options by name ("CONFIG_SQUASHFS"): "y", "m", a number or a string. Unset ones are not in it. */
export type KernelConfig = ReadonlyMap<string, string>;

export interface KernelFacts {
  /** As `uname -r` would print it: the name of its folder in lib/modules. */
  readonly release?: string;
  /** The text of its configuration, when it was built with CONFIG_IKCONFIG. */
  readonly config?: string;
}

/** Parses a `config-RELEASE` or .config file. Lines that set nothing are skipped. */
export function parseKernelConfig(text: string): KernelConfig {
  const options = new Map<string, string>();
  for (const [, name, value] of text.matchAll(/^(CONFIG_\w+)=(.*?)\r?$/gm)) options.set(name!, value!);
  return options;
}

/** Magic numbers of the compressed payloads that zImage, Image.gz and EFI zboot images carry. */
const PAYLOADS: readonly { format: CompressionFormat; magic: Buffer }[] = [
  { format: "gzip", magic: Buffer.of(0x1f, 0x8b, 0x08) },
  { format: "xz", magic: Buffer.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00) },
  { format: "zstd", magic: Buffer.of(0x28, 0xb5, 0x2f, 0xfd) },
];

/**
 * Reads release and configuration out of a kernel: an Image, or a zImage, Image.gz, uImage or EFI zboot image with a gzip,
 * xz or zstd payload. What is not found is left out. A compressed kernel is expanded in memory, which takes a second or
 * so: ask only for what is not known otherwise.
 */
export async function readKernel(image: Uint8Array): Promise<KernelFacts> {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.length);
  const plain = await factsOf(bytes);
  if (plain.release !== undefined) return plain;
  for (const { format, magic } of PAYLOADS) {
    // The magic is short and turns up by chance as well; such a payload breaks off at once.
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      const facts = await factsOf(Buffer.from(await expandUntilDamage(format, bytes.subarray(at))));
      if (facts.release !== undefined) return facts;
    }
  }
  return {};
}

/** The release in the name of a kernel file, as Debian and `make install` write it: vmlinuz-6.1.0-50-armmp. */
export function releaseOfFileName(name: string): string | undefined {
  return /^(?:vmlinu[xz]|kernel|[bz]?Image|uImage)-(\d+\.\d+.*)$/.exec(name)?.[1];
}

/** The kernel's banner (init/version.c) and embedded configuration (kernel/configs.c) in an uncompressed kernel. */
async function factsOf(kernel: Buffer): Promise<KernelFacts> {
  const release = bannerRelease(kernel);
  const start = kernel.indexOf("IKCFG_ST");
  const end = kernel.indexOf("IKCFG_ED", start);
  const config = start < 0 || end < 0 ? undefined : await expand("gzip", kernel.subarray(start + 8, end));
  return { ...(release && { release }), ...(config && { config: Buffer.from(config).toString("latin1") }) };
}

function bannerRelease(kernel: Buffer): string | undefined {
  const banner = "Linux version ";
  for (let at = kernel.indexOf(banner); at >= 0; at = kernel.indexOf(banner, at + 1)) {
    const start = at + banner.length;
    const found = /^(\d+\.\d+\S*) \(/.exec(kernel.toString("latin1", start, start + 100));
    if (found) return found[1];
  }
  return undefined;
}
