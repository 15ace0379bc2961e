# UserData, the writable partition beside the read-only root: finding, checking and mounting it. Sourced by preinit.sh.
#
# In: userdata and mount of preinit.conf; say, degraded, mounted and load of preinit.sh. Sets base: where the overlays' state
# is, which is $mount/overlay, or $run/volatile in memory, or empty where even that cannot be had.

# node_of FOLDER: sets node to that of a disk or partition, by its folder in /sys.
node_of() {
	node=
	while IFS='=' read -r key value; do
		[ "$key" = DEVNAME ] && node=/dev/$value
	done <"$1/uevent"
	[ -b "$node" ]
}

# find_partition NUMBER: sets found to the folder in /sys, and node to the node, of the partition of that number on the disk
# whose partition is mounted on /. Names and UUIDs would not do: the installer makes up new ones, and a card with the same image
# may be in another slot.
find_partition() {
	[ "$root_numbers" ] || while read -r _ _ numbers _ point _; do
		[ "$point" = / ] && root_numbers=$numbers
	done </proc/self/mountinfo
	# Behind dm-verity the root is a device of its own, on top of its partition.
	for entry in /sys/dev/block/"$root_numbers"/slaves/*/partition; do
		[ ! -e "$entry" ] || read -r root_numbers <"${entry%/*}/dev"
	done
	for entry in /sys/dev/block/"$root_numbers"/../*/partition; do
		[ -e "$entry" ] || continue
		read -r number <"$entry"
		[ "$number" = "$1" ] || continue
		found=${entry%/partition}
		node_of "$found"
		return
	done
	return 1
}

# grown: whether UserData has been made to fill its disk, and the sizes are what they were then. Starts no program.
grown() {
	record=none
	[ ! -e "$mount/grown" ] || read -r record <"$mount/grown"
	read -r size <"$partition/size"
	read -r disk_size <"$partition/../size"
	[ "$record" = "$disk_size $size" ]
}

# check HOW: e2fsck -p, or -fy, on UserData, where the root has it; false when UserData is not in order after that. The exit
# status is a sum: 1 errors mended, 2 better to reboot (not so for a file system that is not mounted), 4 errors left, 8 it
# could not work.
check() {
	command -v e2fsck >/dev/null || return 0
	log=$run/e2fsck.log
	[ -d "$run" ] || log=/dev/null
	e2fsck "$1" "$device" >>"$log" 2>&1
	code=$?
	[ $code -lt 4 ] && return
	say "e2fsck $1 $device ended with $code; see $log"
	# 126 and 127: one that does not run, for want of a library, say. It is as good as none.
	[ $code = 126 ] || [ $code = 127 ]
}

# mount_ext4 [OPTIONS]
mount_ext4() {
	mount -t ext4 -o "${1}noatime,nosuid,nodev" "$device" "$mount"
}

# mount_checked: mounts device as UserData, by way of e2fsck where it has to be. False where it cannot be mounted, or is not in order.
mount_checked() {
	check -p && mount_ext4 && return
	# What -p will not decide, or does not look at because the file system says that it is clean, is decided once by -fy.
	check -fy && mount_ext4
}

# mount_userdata: mounts UserData, and sets base; and broken where it can only be read.
mount_userdata() {
	base=$mount/overlay
	broken=
	if ! find_partition "$userdata"; then
		degraded "there is no partition $userdata on the root's disk; changes are kept in memory"
		use_tmpfs
		return
	fi
	partition=$found
	device=$node
	load ext4
	mount_checked && return
	# Writing would make it worse. A medium that takes no more writes cannot have its journal replayed.
	if mount_ext4 ro, || mount_ext4 ro,noload,; then
		broken=yes
		degraded "UserData ($device) cannot be mended by e2fsck; it is read-only, and changes are kept in memory"
		return
	fi
	degraded "UserData ($device) cannot be mounted; changes are kept in memory"
	use_tmpfs
}

# remove_partial: removes from UserData what was being written when the power failed. An import, or a copy of all overlays, may be what takes
# the room for everything else.
remove_partial() {
	for entry in request factory-reset reset-once import overlay storage imgbuild-storage; do
		[ ! -e "$mount/$entry+new" ] || rm -rf "${mount:?}/$entry+new"
	done
}

# use_tmpfs: makes base a tmpfs, once.
use_tmpfs() {
	base=
	mkdir -p "$run/volatile" || return
	mounted "$run/volatile" || mount -t tmpfs -o nosuid,nodev,mode=0700 tmpfs "$run/volatile" || return
	base=$run/volatile
}
