/**
 * The root file system in memory, with its owners, device table and times. It is the npm export imgbuild/tree, and needs
 * no host: what reads a tree from a folder or a tar is in imgbuild/host.
 */
export { type Aspect, compareTrees, type Difference } from "./compare.js";
export { applyDeviceTable, type DeviceTableEntry, readDeviceTable } from "./device-table.js";
export { type LargePath, largestPaths, type SizeOf } from "./largest.js";
export { type Layer, layOver } from "./layers.js";
export * from "./node.js";
export type { Observer } from "./observer.js";
export { applyOwner, type Owner, parseOwner } from "./owner.js";
export { follow, realPath } from "./real-path.js";
export { clampTimes, newestTime } from "./times.js";
export * from "./tree.js";
export { isPortableXattr } from "./xattrs.js";
