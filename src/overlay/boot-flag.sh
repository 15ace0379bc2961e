# The file factory-reset on BootFS, which any computer can make on the card. Sourced by preinit.sh where the image looks for it: that
# takes three programs and vfat's modules at every boot.

# take_flag: has a flag on BootFS become one on UserData. A cut in between leaves both, which is one reset; after it there is the one
# on UserData, which goes with the reset. From a BootFS that cannot be written it is not taken: it would be there for ever.
# shellcheck disable=SC2154 # find_partition sets node
take_flag() {
	point=$run/bootfs
	load vfat
	if ! find_partition "$flag" || ! mkdir -p "$point" || ! mount -t vfat -o ro,nosuid,nodev,noexec "$node" "$point"; then
		not_done "BootFS cannot be mounted, to look for a factory reset's flag"
		return
	fi
	[ ! -e "$point/factory-reset" ] || move_flag
	umount "$point"
}

move_flag() {
	if ! mount -o remount,rw "$point"; then
		not_done "BootFS cannot be written: no factory reset for the flag on it"
		return
	fi
	# shellcheck source=src/overlay/requests.sh
	. "$library/requests.sh"
	read_flag "$point/factory-reset"
	moved=yes
	cp "$point/factory-reset" "$mount/factory-reset+new" && flush "$mount" &&
		mv -f "$mount/factory-reset+new" "$mount/factory-reset" && flush "$mount" || moved=
	if ! { rm -f "$point/factory-reset" && flush "$point"; }; then
		not_done "BootFS cannot be written: no factory reset for the flag on it"
		rm -f "$mount/factory-reset" "$mount/factory-reset+new"
	elif [ ! "$moved" ]; then
		# A full UserData, which wants the reset most.
		rm -f "$mount/factory-reset+new"
		case $wanted,$resets in
		all,* | *,all) resets=all ;;
		*) resets=$wanted${resets:+,$resets} ;;
		esac
	fi
}
