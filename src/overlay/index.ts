/**
 * What makes folders of the read-only root writable on the device: scripts, of which `preinit.sh` runs as process 1 before the
 * real init, and what puts them into the root file system. docs/device.md explains them to whoever has the device.
 *
 *     kernel, or the initramfs -> /usr/lib/imgbuild/preinit -> the real init
 *
 *     root (SquashFS)  /home/root                lowest layer, read-only
 *     UserData (ext4)  overlay/home-root/upper   further layers: what the image was built with, snapshots
 *                      overlay/home-root/upper.1 the topmost layer, what was written
 *     overlay          /home/root                all of them, as programs see it
 *
 *     preinit.sh       process 1: mounts, and becomes the real init
 *     mounts.sh        what is mounted, and how overlays are to be
 *     userdata.sh      finding, checking and mounting UserData
 *     grow.sh          growing it to the end of its disk
 *     storages.sh      layers from elsewhere, and UserData on another device
 *     state.sh         the state of one overlay, and how it is changed
 *     requests.sh      what was asked for: snapshot, restore, delete, merge; reset.sh: the factory reset of an overlay
 *     boot-flag.sh     the wish for a reset as a file on BootFS
 *     layers.sh        folding one layer into another
 *     root-change.sh   another root under what was written
 *     before.sh        what is kept of that while the other root is on trial
 *     environment.sh   which of two root slots is booted: reading and writing that
 *     slots.sh         the slots: which one runs, rollback, confirm; update.sh: writing the other one; deadline.sh: a restart
 *                      where a root on trial hangs
 *     overlayctl.sh    the command; arguments.sh: what it is called with; ask.sh: what it asks for at the next boot;
 *                      report.sh: status; differences.sh: diff; transfer.sh: export and import;
 *                      storage-command.sh: UserData on another device; locks.sh: one at a time
 *     imgbuild-ready.sh  what the init system calls when the boot has completed
 */
export {
  type BaseLayer,
  type DeviceSlots,
  type Growth,
  type InstalledOverlay,
  installOverlay,
  NEW_ROOT_POLICIES,
  type NewRootPolicy,
  type OverlayOptions,
} from "./install.js";
export { type LayerSource, parseLayerSource } from "./layer-source.js";
export { factoryState, userdataFactory, userdataState, userdataUpper } from "./userdata.js";
