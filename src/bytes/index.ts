/**
 * What the formats read and write: devices, names as bytes, sizes. It is the npm export imgbuild/bytes, and needs no host:
 * files as devices are in imgbuild/host.
 */
export { type ByteString, compareBytes, display, fromBytes, fromText, toBytes } from "./bytestring.js";
export { type Device, MemoryDevice, type ReadableDevice, RecordingDevice, slice } from "./device.js";
export { type Extent, ExtentSet } from "./extent.js";
export { alignUp, formatSize, parseSize } from "./size.js";
export { formatUuid, isUuid, uuidBytes } from "./uuid.js";
