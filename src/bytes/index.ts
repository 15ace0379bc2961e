/** What the formats read and write: devices, names as bytes, sizes. It is the npm export imgbuild/bytes. */
export { type ByteString, compareBytes, display, fromBytes, fromText, toBytes } from "./bytestring.js";
export { type Device, MemoryDevice, type ReadableDevice, RecordingDevice, slice } from "./device.js";
export { type Extent, ExtentSet } from "./extent.js";
export { FileDevice, FileReader } from "./file-device.js";
export { alignUp, formatSize, parseSize } from "./size.js";
export { seededId, seededUuid } from "./uuid.js";
