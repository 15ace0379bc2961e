# overlayctl storage: UserData on another device, and back. Sourced by overlayctl.sh. It is the next boot that changes over.

# shellcheck source=src/overlay/storages.sh
. "$library/storages.sh"

# find_internal: sets internal to where the internal UserData is mounted.
find_internal() {
	internal=$mount
	! mounted "$run/internal" || internal=$run/internal
}

# ext4_uuid DEVICE: sets found_uuid to that of its ext4: 16 bytes at 0x68 of the superblock, which is at 1024 and has its magic at
# 0x38. False where there is none.
ext4_uuid() {
	[ "$(od -An -v -tx1 -j 1080 -N 2 "$1" | tr -d ' \n')" = 53ef ] || return
	digits=$(od -An -v -tx1 -j 1128 -N 16 "$1" | tr -d ' \n')
	found_uuid=
	for width in 8 4 4 4 12; do
		rest=$digits
		while [ ${#digits} -gt 0 ] && [ $((${#rest} - ${#digits})) -lt $width ]; do digits=${digits#?}; done
		found_uuid=$found_uuid${found_uuid:+-}${rest%"$digits"}
	done
}

# mounted_device POINT: sets found to the device that is mounted there.
mounted_device() {
	found=
	while read -r first_word point _; do
		[ "$point" != "$1" ] || found=$first_word
	done </proc/mounts
}

# disk_of DEVICE: prints where /sys has its disk.
disk_of() {
	cd -P "/sys/class/block/${1##*/}" 2>/dev/null || return
	[ ! -e partition ] || cd ..
	pwd
}

# no_ext4 DEVICE INTERNAL: nobody is to be told to format what the device boots from.
no_ext4() {
	device=$(readlink -f "$1")
	disk=$(disk_of "$device")
	[ ! "$disk" ] || [ "$disk" != "$(disk_of "$2")" ] ||
		fail "$1 has no ext4, and is on the disk that this system is on: name another device"
	fail "$1 has no ext4; one is made, and all else on it erased, by: mkfs.ext4 $1"
}

# use_storage DEVICE
use_storage() {
	[ "$1" ] || usage "storage use needs a device, such as /dev/sda1"
	[ -b "$1" ] || fail "$1 is no device"
	find_internal
	[ "$internal" = "$mount" ] || fail "UserData is on another device already; overlayctl storage release ends that"
	command -v findfs >/dev/null || fail "the root has no findfs, and so the device would not be found at the next boot"
	while read -r first_word _; do
		[ "$first_word" != "$1" ] || fail "$1 is mounted"
	done </proc/mounts
	if [ "$copy_option" ]; then
		# Opaque folders are xattrs.
		case $(cp --version 2>/dev/null) in
		*coreutils*) ;;
		*) fail "--copy needs the cp of coreutils: this one does not copy extended attributes" ;;
		esac
	fi
	mounted_device "$mount"
	ext4_uuid "$found" && internal_uuid=$found_uuid || internal_uuid=
	ext4_uuid "$1" || no_ext4 "$1" "$found"
	[ "$found_uuid" != "$internal_uuid" ] || fail "$1 has the UUID of the internal UserData; give it one of its own: tune2fs -U random $1"
	read_storage "$mount/storage"
	[ "$unit" ] || read -r unit </proc/sys/kernel/random/uuid
	wanted_unit=$unit
	work_folder
	mkdir "$own/storage" && mount -t ext4 -o nosuid,nodev "$1" "$own/storage" || fail "$1 cannot be mounted"
	reason=
	claim_storage
	umount "$own/storage"
	[ ! "$reason" ] || fail "$1 $reason"
	unit=$wanted_unit uuid=$found_uuid copy=$copy_option
	write_storage "$mount" || fail "there is no room for it on UserData"
	next_boot
}

# claim_storage: writes to the device that it belongs to this unit; sets reason where it must not be.
claim_storage() {
	if belongs "$own/storage" && [ "$unit" != "$wanted_unit" ]; then
		reason="belongs to another unit; to take it all the same, delete the file imgbuild-storage on it"
	elif [ "$copy_option" ] && [ -e "$own/storage/overlay" ]; then
		reason="has overlays already; nothing can be copied over them"
	else
		echo "unit $wanted_unit" >"$own/storage/imgbuild-storage+new" && flush "$own/storage" &&
			mv -f "$own/storage/imgbuild-storage+new" "$own/storage/imgbuild-storage" && flush "$own/storage" ||
			reason="has no room"
	fi
}

# release_storage: the device keeps what it has, and may be used again.
release_storage() {
	find_internal
	read_storage "$internal/storage"
	[ "$uuid" ] || fail "UserData is on no other device"
	uuid='' copy=''
	write_storage "$internal" || fail "there is no room for it on the internal UserData"
	next_boot
}

show_storage() {
	find_internal
	read_storage "$internal/storage"
	mounted_device "$mount"
	echo "UserData is on $found${uuid:+, and is to be on the device with UUID $uuid}"
	[ "$internal" = "$mount" ] || echo "The internal one is at $internal"
}
