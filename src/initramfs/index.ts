/**
 * The initramfs that loads what the kernel lacks to reach its root. A kernel with its storage drivers and file systems built
 * in needs none.
 *
 * It is a gzip member (RFC 1952) that holds a cpio archive in the "new ASCII" format. Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst; for each member, in this order:
 *
 * | what    | length                | content                                                          |
 * |---------|-----------------------|------------------------------------------------------------------|
 * | header  | 110                   | "070701", then 13 numbers of 8 hexadecimal digits                |
 * | name    | name size             | path without a leading "/", and a NUL                            |
 * | padding | to a multiple of 4    | zeros                                                            |
 * | data    | file size             | a file's bytes or a symlink's target                             |
 * | padding | to a multiple of 4    | zeros                                                            |
 *
 * The last member is called TRAILER!!!; zeros to a multiple of 512 follow. Ours holds:
 *
 *     init              early.sh
 *     bin/              busybox, and symlinks to it for the applets that the script calls
 *                       with a hash tree behind the root also dmsetup
 *     lib/              its libraries, and its dynamic linker where the program wants it
 *     modules/          the kernel's modules, decompressed; `order` lists them
 *     dev/              console and null, until devtmpfs is mounted
 *     newroot/ proc/ sys/
 */
export { buildInitramfs, type InitramfsOptions } from "./build.js";
export type { ElfTarget } from "./elf.js";
export { type KernelFacts, readKernel, releaseOfFileName } from "./kernel.js";
export {
  type FileSystemName,
  type InitramfsPlan,
  type InitramfsRequest,
  type PlannedModule,
  planInitramfs,
} from "./plan.js";
