/** The root file system in memory: from a folder or a tar, with its owners, device table and times. */
export { applyPseudo, type PseudoOptions } from "./apply-pseudo.js";
export { applyDeviceTable, type DeviceTableEntry, readDeviceTable } from "./device-table.js";
export { treeDigest } from "./digest.js";
export { type DirectoryOptions, readDirectory, readHostNode } from "./directory.js";
export { Excludes, readExcludeFile, removeExcluded } from "./excludes.js";
export { isFakeroot } from "./fakeroot.js";
export { filesInFolder, hostFile } from "./host-files.js";
export { type LargePath, largestPaths } from "./largest.js";
export { type Layer, layOver } from "./layers.js";
export * from "./node.js";
export type { Observer } from "./observer.js";
export { applyOwner, keepsOwners, type Owner, parseOwner } from "./owner.js";
export { type PseudoDefinition, readPseudoFile } from "./pseudo-file.js";
export { follow, realPath } from "./real-path.js";
export { readTar, type TarOptions, type TarTree } from "./tar/read-tar.js";
export { clampTimes, newestTime } from "./times.js";
export * from "./tree.js";
export { isPortableXattr } from "./xattrs.js";
