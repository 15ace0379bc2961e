/**
 * The host, in Node: its files as devices, its folders and tars as trees, and digests by its OpenSSL. It is the npm export
 * imgbuild/host; imgbuild/bytes, imgbuild/tree and the formats do without any of it.
 */
export { FileDevice, FileReader } from "./bytes/file-device.js";
export { seededId, seededUuid } from "./bytes/seeded-ids.js";
export { applyPseudo, type PseudoOptions } from "./tree/apply-pseudo.js";
export { treeDigest } from "./tree/digest.js";
export { type DirectoryOptions, readDirectory, readHostNode } from "./tree/directory.js";
export { Excludes, readExcludeFile, removeExcluded } from "./tree/excludes.js";
export { isFakeroot } from "./tree/fakeroot.js";
export { filesInFolder, hostFile } from "./tree/host-files.js";
export { keepsOwners } from "./tree/host-owner.js";
export { type PseudoDefinition, readPseudoFile } from "./tree/pseudo-file.js";
export { readTar, type TarOptions, type TarTree } from "./tree/tar/read-tar.js";
export { writeTar } from "./tree/tar/write-tar.js";
export { type WriteDirectoryOptions, writeDirectory } from "./tree/write-directory.js";
