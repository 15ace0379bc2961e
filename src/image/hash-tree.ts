/** The hash tree behind a SquashFS, and the root hash that the kernel is started with. */
import { createHash } from "node:crypto";
import type { Device, ReadableDevice } from "../bytes/device.js";
import type { Finding } from "../bytes/finding.js";
import { seededUuid } from "../bytes/seeded-ids.js";
import { alignUp } from "../bytes/size.js";
import { ImgbuildError } from "../errors.js";
import { type Content, contentOf } from "../tree/node.js";
import type { Observer } from "../tree/observer.js";
import {
  checkVerity,
  openVerity,
  type VerityFacts,
  type VerityTree,
  veritySize,
  writeVerity,
} from "../verity/index.js";

/** What a SquashFS is padded to, and what dm-verity counts in. */
const BLOCK = 4096;

/** What early.sh of the initramfs looks for among the kernel's arguments. */
export const ROOT_HASH_ARGUMENT = "imgbuild.verity=";
const NOT_KNOWN_YET = "0".repeat(64);

/**
 * The root hash. It is known only when the root is compressed, while the boot script that has it lies on a partition in front of
 * that: the script's place is kept by its length, which is the same for each hash.
 */
export class RootHash {
  #value: string | undefined;

  set(value: string): void {
    this.#value = value;
  }

  /** In hexadecimal. Throws an `internal` error before it is known. */
  get value(): string {
    if (this.#value === undefined) throw new ImgbuildError("internal", "the root hash is not known yet");
    return this.#value;
  }

  /** The kernel's argument. Throws an `internal` error before the hash is known. */
  get argument(): string {
    return `${ROOT_HASH_ARGUMENT}${this.value}`;
  }

  /** Content that `make` makes of the hash, when it is read. It has to be as long for every hash. */
  content(make: (rootHash: string) => Uint8Array): Content {
    return { size: make(NOT_KNOWN_YET).length, open: async () => contentOf(make(this.value)).open() };
  }
}

/** Makes the tree behind a SquashFS of `size` bytes at the start of `window`. The same SquashFS gets the same root hash in each slot. */
export function writeHashTree(
  window: Device,
  size: number,
  { name, identity, observer }: { name: string; identity: string; observer?: Observer | undefined },
): Promise<VerityTree> {
  return writeVerity(window, size, {
    salt: createHash("sha256").update(`${identity} salt of the hash tree`).digest(),
    uuid: seededUuid(identity, name, "hash tree"),
    progress: observer?.progress && ((bytes) => observer.progress!(bytes, 0)),
  });
}

/** An error about the room for a SquashFS, as one about the room for it and its tree. */
export function withHashTree(error: unknown): unknown {
  if (!(error instanceof ImgbuildError) || typeof error.data.needed !== "number") return error;
  const { code, message, hint, data, cause } = error;
  const size = alignUp(error.data.needed, BLOCK);
  return new ImgbuildError(code, `${message}, and its hash tree ${veritySize(size)} more`, {
    ...(hint !== undefined && { hint }),
    data: { ...data, needed: size + veritySize(size) },
    cause,
  });
}

/** The tree behind a file system of `used` bytes; see `openVerity`. */
export function findHashTree(device: ReadableDevice, used: number): Promise<VerityFacts | string | undefined> {
  return openVerity(device, alignUp(used, BLOCK));
}

/** What is wrong with the tree behind a file system of `used` bytes, where there is one. */
export async function* checkHashTree(
  device: ReadableDevice,
  used: number,
  observer: Observer,
): AsyncGenerator<Finding> {
  const found = await findHashTree(device, used);
  if (found === undefined) return;
  if (typeof found === "string") {
    yield { severity: "error", message: `the hash tree cannot be read: ${found}`, offset: alignUp(used, BLOCK) };
  } else {
    yield* checkVerity(device, found, (bytes) => observer.progress?.(bytes, 0));
  }
}
