# The file factory-reset on BootFS, which any computer can make on the card. Sourced by preinit.sh where the image looks for it: that
# takes three programs and vfat's modules at every boot.

# take_flag: has a flag on BootFS become one on UserData. A cut in between leaves both, which is one reset; after it there is the one
# on UserData, which goes with the reset. From a BootFS that cannot be written it is not taken: it would be there for ever.
# Where UserData has no room for it, it stays on BootFS, and mounted, until the reset is done: drop_flag.
# shellcheck disable=SC2154 # find_partition sets node
take_flag() {
	bootfs=$run/bootfs
	load vfat
	if ! find_partition "$flag" || ! mkdir -p "$bootfs" || ! mount -t vfat -o ro,nosuid,nodev,noexec "$node" "$bootfs"; then
		not_done "BootFS cannot be mounted, to look for a factory reset's flag"
		return
	fi
	[ ! -e "$bootfs/factory-reset" ] || move_flag
	[ "$flag_left" ] || umount "$bootfs"
}

move_flag() {
	if ! mount -o remount,rw "$bootfs" || ! try_to_write; then
		flag_stays
		return
	fi
	# shellcheck source=src/overlay/requests.sh
	. "$library/requests.sh"
	read_flag "$bootfs/factory-reset"
	flag_wish=$wanted
	if ! write_wish "$flag_wish"; then
		# A full UserData, which wants the reset most.
		flag_left=yes
		resets=${resets:+$resets$newline}$flag_wish
	elif ! remove_flag; then
		flag_stays
		# What UserData asked for before stays.
		{ [ "$former" ] && put_file "$mount/factory-reset" "$former"; } || rm -f "$mount/factory-reset"
	fi
}

flag_stays() {
	not_done "BootFS cannot be written: no factory reset for the flag on it"
}

# try_to_write: whether files can be made and removed on BootFS.
try_to_write() {
	true >"$bootfs/factory-reset+new" && rm -f "$bootfs/factory-reset+new" && flush "$bootfs"
}

remove_flag() {
	rm -f "$bootfs/factory-reset" && flush "$bootfs"
}

# drop_flag: removes it after the reset. Should that fail, try_to_write does at the next boot, so that there is no second reset.
drop_flag() {
	remove_flag
	umount "$bootfs"
}
