import type { OtherTool } from "./declare.js";
export const MKSQUASHFS: OtherTool = { name: "mksquashfs", options: {} };
export const MKE2FS: OtherTool = { name: "mke2fs", options: {} };
export const MKFS_FAT: OtherTool = { name: "mkfs.fat", options: {} };
