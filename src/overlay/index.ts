/**
 * What makes folders of the read-only root writable on the device: `preinit.sh`, which runs as process 1 before the real
 * init, and what puts it into the root file system.
 *
 *     kernel, or the initramfs -> /usr/lib/imgbuild/preinit -> the real init
 *
 *     root (SquashFS)  /home/root              lower layer, read-only
 *     UserData (ext4)  overlay/home-root/upper upper layer, what was written
 *     overlay          /home/root              both, as programs see it
 */
export { type InstalledOverlay, installOverlay, type OverlayOptions } from "./install.js";
export { userdataUpper } from "./userdata.js";
