/** The superblock of a hash tree: cryptsetup's on-disk format of dm-verity, version 1 (lib/verity/verity.c). */
import { array, ascii, bytes, size64, struct, u8, u16, u32 } from "../bytes/struct.js";

export const veritySuperblock = struct("verity_sb", 512, {
  signature: [0, bytes(8)],
  version: [8, u32],
  hashType: [12, u32],
  uuid: [16, bytes(16)],
  algorithm: [32, ascii(32)],
  dataBlockSize: [64, u32],
  hashBlockSize: [68, u32],
  dataBlocks: [72, size64],
  saltSize: [80, u16],
  salt: [88, array(u8, 256)],
});

export const SIGNATURE = Uint8Array.from("verity\0\0", (character) => character.charCodeAt(0));
export const VERSION = 1;
/** The usual one: the salt comes before what is hashed. 0 is ChromeOS's. */
export const HASH_TYPE = 1;
export const ALGORITHM = "sha256";
export const DIGEST_SIZE = 32;
/** Of data and hashes alike: what the kernel reads at once. */
export const BLOCK_SIZE = 4096;
export const DIGESTS_PER_BLOCK = BLOCK_SIZE / DIGEST_SIZE;
