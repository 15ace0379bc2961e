# Layers that come from elsewhere than the root and UserData's own: a SquashFS file on UserData, or another partition. Sourced by
# preinit.sh and overlayctl.sh where preinit.conf has some.

# add_layer: mounts the layer that a line of preinit.conf tells: name is its number, path where it comes from. Those that come
# later lie above those before. Without it the others are there all the same.
add_layer() {
	if mount_layer "$run/layers/$name" "${path%% *}" "${path#* }" 2>>"$run/layers.log"; then
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
