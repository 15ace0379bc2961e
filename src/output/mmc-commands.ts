/** U-Boot's commands that put bytes from its memory onto an eMMC (cmd/mmc.c). They count in blocks of 512 bytes, in hexadecimal. */
import { hex } from "../bytes/size.js";

export const BLOCK = 512;

/** `bytes` bytes rounded up to blocks, as U-Boot takes them. */
export const blocks = (bytes: number): string => hex(Math.ceil(bytes / BLOCK));

/** Writes `length` bytes at `address`, a number or a variable, to byte `offset` of what `mmc dev` has chosen. */
export const mmcWrite = (address: string, offset: number, length: number): string =>
  `mmc write ${address} ${blocks(offset)} ${blocks(length)}`;

/**
 * Writes the bootloader at `address` to boot partition 0 of eMMC `mmc`, which stays chosen, and has the boot ROM take it from there
 * (JEDEC JESD84-B51, PARTITION_CONFIG).
 */
export function boot0Commands(mmc: number | string, address: string, length: number): string[] {
  return [`mmc dev ${mmc} 1`, mmcWrite(address, 0, length), `mmc partconf ${mmc} 1 1 0`];
}
