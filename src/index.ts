/**
 * imgbuild as a library: what the command line does, in four steps.
 *
 *     const plan = loadPlan("colibri-imx6", { folder: process.cwd() });
 *     const root = await readDirectory("rootfs");
 *     const prepared = await prepare(plan, { root, bootFiles: [filesInTree(root, "boot", "rootfs/boot")], ... });
 *     await writeArtifacts(new Workspace("out"), plan, prepared, { time, jobs });
 *
 * Single formats are in imgbuild/squashfs, imgbuild/ext4, imgbuild/fat and imgbuild/partition; trees in imgbuild/tree,
 * devices in imgbuild/bytes. These run wherever JavaScript does; Node's files and folders are in imgbuild/host.
 */
export { ERROR_CODES, type ErrorCode, ImgbuildError } from "./errors.js";
export { type AssembleOptions, layOut } from "./image/assemble.js";
export { type FileSource, filesInTree } from "./image/boot-files.js";
export { type OpenedImage, openImage, type Volume } from "./image/open-image.js";
export type { Layout, Placement } from "./image/place.js";
export type { PartitionPlan, Plan } from "./image/plan.js";
export { type BuildInputs, type Prepared, prepare } from "./image/prepare.js";
export { type Verification, verifyImage } from "./image/verify.js";
export { writeArtifacts } from "./output/artifacts.js";
export type { Manifest } from "./output/manifest.js";
export { Workspace } from "./output/workspace.js";
export { shippedProfiles } from "./profile/document.js";
export { type LoadOptions, loadPlan } from "./profile/load.js";
export { jsonSchema } from "./profile/schema.js";
export { readDirectory } from "./tree/directory.js";
export { readTar } from "./tree/tar/read-tar.js";
export type { Tree } from "./tree/tree.js";
