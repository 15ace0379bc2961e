# Other storages than the root and UserData's partition: layers that come from elsewhere, and UserData on another device. Sourced by
# preinit.sh and overlayctl.sh where there are some.
#
# A layer is a SquashFS file on UserData, or another partition; preinit.conf says which.
#
# UserData on another device: the file storage on the internal one says which, and the other device says to which unit it belongs,
# so that neither a card out of another unit is taken, nor any card by a unit that was flashed anew. One setting a line:
#     storage, on the internal one           unit ID     made up when the first device was chosen, and kept
#                                            uuid UUID   of the file system that is UserData; none: the internal one is
#                                            copy yes    what the internal one has is to be copied to it before
#     imgbuild-storage, on the other one     unit ID

# add_layer: mounts the layer that a line of preinit.conf tells: name is its number, path where it comes from. Those that come
# later lie above those before. Without it the others are there all the same. A request may have needed it already (root-change.sh).
add_layer() {
	if mounted "$run/layers/$name" || mount_layer "$run/layers/$name" "${path%% *}" "${path#* }" 2>>"$run/layers.log"; then
		layered=$run/layers/$name:$layered
	else
		degraded "the layer from ${path#* } is missing or broken; it is left out"
	fi
}

# mount_layer POINT KIND FROM
# shellcheck disable=SC2154 # find_partition sets node
mount_layer() {
	mkdir -p "$1" || return
	case $2 in
	userdata)
		[ "$base" = "$mount/overlay" ] && [ -f "$mount/$3" ] || return
		load squashfs
		[ -e /dev/loop-control ] || ! command -v modprobe >/dev/null || modprobe -q loop
		mount -t squashfs -o loop,ro "$mount/$3" "$1"
		;;
	partition) find_partition "$3" && mount_device "$node" "$1" ;;
	device) mount_device "$3" "$1" ;;
	esac
}

# mount_device DEVICE POINT: without -t, some mounts try only what is in /etc/filesystems.
mount_device() {
	load squashfs
	mount -t squashfs -o ro "$1" "$2" 2>/dev/null || mount -t ext4 -o ro "$1" "$2"
}

# layers_of OVERLAY: sets layered to those of its layers that are mounted, as overlayfs's lowerdir wants them.
layers_of() {
	layered=
	while read -r layer_key layer_number layer_overlay _; do
		[ "$layer_key" = layer ] && [ "$layer_overlay" = "$1" ] && mounted "$run/layers/$layer_number" &&
			layered=$run/layers/$layer_number:$layered
	done <"$config"
}

# read_storage FILE: sets unit, uuid and copy to what is in it; to nothing where there is none.
read_storage() {
	unit='' uuid='' copy=''
	[ -e "$1" ] || return
	while read -r key value; do
		case $key in
		unit) unit=$value ;;
		uuid) uuid=$value ;;
		copy) copy=$value ;;
		esac
	done <"$1"
}

# write_storage FOLDER: makes what is in these variables what the internal UserData, mounted there, says.
write_storage() {
	printf '%s\n' "unit $unit" ${uuid:+"uuid $uuid"} ${copy:+"copy $copy"} >"$1/storage+new" && flush "$1" &&
		mv -f "$1/storage+new" "$1/storage" && flush "$1"
}

# use_other_storage: exchanges the internal UserData, which is mounted, for the device that it names. Where that is not to be had
# the internal one stays.
use_other_storage() {
	read_storage "$mount/storage"
	[ "$uuid" ] || return 0
	wanted_unit=$unit
	if ! wait_for_storage; then
		stay_internal "it is not there"
		return
	fi
	internal=$device
	if ! mkdir -p "$run/internal" || ! mount --move "$mount" "$run/internal"; then
		stay_internal "there is no place for both"
		return
	fi
	device=$other
	if ! mount_checked; then
		reason="it cannot be mounted, or not be mended by e2fsck"
	elif ! belongs "$mount" || [ "$unit" != "$wanted_unit" ]; then
		reason="it belongs to another unit"
	else
		remove_partial
		if [ ! "$copy" ] || copy_overlays; then
			broken=
			return
		fi
		reason="what the internal one has cannot be copied to it"
	fi
	! mounted "$mount" || umount "$mount"
	mount --move "$run/internal" "$mount"
	device=$internal
	stay_internal "$reason"
}

stay_internal() {
	degraded "UserData is to be on the device with UUID $uuid, but $1; the internal one is used"
}

# wait_for_storage: sets other to the device's node. Those on USB take a while to be there.
wait_for_storage() {
	seconds=0
	until other=$(findfs "UUID=$uuid" 2>/dev/null) && [ -b "$other" ]; do
		seconds=$((seconds + 1))
		[ $seconds -le 10 ] && command -v findfs >/dev/null && sleep 1 || return
	done
}

# belongs FOLDER: sets unit to the one that a device mounted there belongs to; false where it belongs to none.
belongs() {
	unit=
	[ -e "$1/imgbuild-storage" ] && read -r _ unit <"$1/imgbuild-storage"
}

# copy_overlays: once. The folder appears when it is whole.
copy_overlays() {
	if [ ! -e "$mount/overlay" ] && [ -e "$run/internal/overlay" ]; then
		cp -a "$run/internal/overlay" "$mount/overlay+new" && flush "$mount" &&
			mv "$mount/overlay+new" "$mount/overlay" && flush "$mount" || {
			rm -rf "$mount/overlay+new"
			return 1
		}
	fi
	copy=
	write_storage "$run/internal"
}
