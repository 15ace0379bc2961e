/** Makes the hash tree of what lies at the start of a device, behind it. */
import type { Device } from "../bytes/device.js";
import { uuidBytes } from "../bytes/uuid.js";
import { ImgbuildError } from "../errors.js";
import { ALGORITHM, BLOCK_SIZE, DIGEST_SIZE, HASH_TYPE, SIGNATURE, VERSION, veritySuperblock } from "./layout.js";
import { BlockHash, levelsOf, veritySize } from "./tree.js";

export interface VerityOptions {
  /** At most 256 bytes that come before everything that is hashed: tables of digests of known blocks are of no use then. */
  readonly salt: Uint8Array;
  readonly uuid: string;
  /** So many bytes of data were hashed. */
  readonly progress?: ((bytes: number) => void) | undefined;
}

export interface VerityTree {
  /** In hexadecimal. Whoever has it from somewhere trustworthy needs to trust nothing else. */
  readonly rootHash: string;
  /** Where the superblock is, in bytes: the end of the data. */
  readonly hashOffset: number;
  readonly dataBlocks: number;
  /** In hexadecimal. */
  readonly salt: string;
  /** Of data, superblock and tree together, in bytes. */
  readonly size: number;
}

const PIECE = 2 ** 20;

/**
 * Reads the first `dataSize` bytes of `device`, a multiple of 4096 above 0, and writes superblock and tree behind them. Rejects with
 * `does-not-fit`, with data.needed, before it reads anything.
 */
export async function writeVerity(device: Device, dataSize: number, options: VerityOptions): Promise<VerityTree> {
  const { salt, uuid, progress } = options;
  const size = dataSize + veritySize(dataSize);
  if (size > device.size) {
    throw new ImgbuildError("does-not-fit", `data and hash tree need ${size} bytes, and there are ${device.size}`, {
      hint: "The hash tree takes about a hundredth of the data besides.",
      data: { needed: size, available: device.size },
    });
  }
  const dataBlocks = dataSize / BLOCK_SIZE;
  const hash = new BlockHash(salt);
  const levels = levelsOf(dataBlocks);

  // First: it ends a file that grows behind the data, which may end with zeros that nobody wrote.
  const superblock = new Uint8Array(BLOCK_SIZE);
  veritySuperblock.write(superblock, 0, {
    signature: SIGNATURE,
    version: VERSION,
    hashType: HASH_TYPE,
    uuid: uuidBytes(uuid),
    algorithm: ALGORITHM,
    dataBlockSize: BLOCK_SIZE,
    hashBlockSize: BLOCK_SIZE,
    dataBlocks,
    saltSize: salt.length,
    salt: [...salt],
  });
  await device.write(dataSize, superblock);

  let digests = new Uint8Array((levels[0]?.blocks ?? 1) * BLOCK_SIZE);
  for (let at = 0, filled = 0; at < dataSize; at += PIECE) {
    const piece = await device.read(at, Math.min(PIECE, dataSize - at));
    filled = hash.digests(piece, digests, filled);
    progress?.(piece.length);
  }
  let root = digests.slice(0, DIGEST_SIZE);
  for (const [index, { at, blocks }] of levels.entries()) {
    await device.write(dataSize + at * BLOCK_SIZE, digests);
    const next = new Uint8Array((levels[index + 1]?.blocks ?? 1) * BLOCK_SIZE);
    hash.digests(digests.subarray(0, blocks * BLOCK_SIZE), next, 0);
    digests = next;
    root = digests.slice(0, DIGEST_SIZE);
  }
  return { rootHash: hex(root), hashOffset: dataSize, dataBlocks, salt: hex(salt), size };
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
