#!/bin/sh
# Runs as process 1 before the real init: mounts UserData, the writable partition beside the read-only root, and lays an
# overlay over each folder that is to be writable. Then it becomes the real init.
#
# POSIX sh, for busybox ash and dash. Nothing in it may stop the boot: what fails is said, noted in /run/imgbuild/degraded,
# and worked around, at the worst by leaving a folder read-only.
#
# preinit.conf beside it is written by the build, one setting a line:
#     userdata NUMBER       UserData's partition, on the disk that the root is on
#     mount PATH            where UserData is mounted
#     init PATH             the real init
#     overlay NAME PATH     a folder to be writable; its state is in overlay/NAME on UserData

PATH=/usr/sbin:/usr/bin:/sbin:/bin
config=${0%/*}/preinit.conf
run=/run/imgbuild

# Level 3 (error) reaches the console even of a kernel that was told to be quiet.
say() {
	if [ -w /dev/kmsg ]; then
		echo "<3>imgbuild: $*" >/dev/kmsg
	else
		echo "imgbuild: $*"
	fi
}

# degraded REASON: what is written now will not survive a reboot, or cannot be written. Programs find it in the file.
degraded() {
	say "degraded: $*"
	mkdir -p "$run" && echo "$*" >>"$run/degraded"
}

# mounted PATH: whether something is mounted there.
mounted() {
	while read -r _ _ _ _ point _; do
		[ "$point" = "$1" ] && return
	done </proc/self/mountinfo
	return 1
}

# The real init copes with these being mounted already: systemd, sysvinit and busybox init all look before they mount.
mount_kernel_filesystems() {
	[ -e /proc/self/mountinfo ] || mount -t proc -o nosuid,nodev,noexec proc /proc
	mounted /sys || mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
	mounted /dev || mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
	mounted /run || mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
}

# load FILESYSTEM: loads its module where the kernel does not have it yet. An initramfs has usually done so.
load() {
	while read -r first second; do
		[ "${second:-$first}" = "$1" ] && return
	done </proc/filesystems
	command -v modprobe >/dev/null && modprobe -q "$1"
}

# find_userdata: sets device to UserData's node: the partition of that number on the disk whose partition is mounted on /.
# Names and UUIDs would not do: the installer makes up new ones, and a card with the same image may be in another slot.
find_userdata() {
	device=
	while read -r _ _ numbers _ point _; do
		[ "$point" = / ] && root=$numbers
	done </proc/self/mountinfo
	for entry in /sys/dev/block/"$root"/../*/partition; do
		[ -e "$entry" ] || continue
		read -r number <"$entry"
		[ "$number" = "$userdata" ] || continue
		while IFS='=' read -r key value; do
			[ "$key" = DEVNAME ] && device=/dev/$value
		done <"${entry%/partition}/uevent"
		[ -b "$device" ]
		return
	done
	return 1
}

# check HOW: e2fsck -p, or -fy, on UserData, where the root has it; false when UserData is not in order after that. The exit
# status is a sum: 1 errors mended, 2 better to reboot (not so for a file system that is not mounted), 4 errors left, 8 it
# could not work.
check() {
	command -v e2fsck >/dev/null || return 0
	log=$run/e2fsck.log
	[ -d "$run" ] || log=/dev/null
	e2fsck "$1" "$device" >>"$log" 2>&1
	status=$?
	[ $status -lt 4 ] && return
	say "e2fsck $1 $device ended with $status; see $log"
	return 1
}

mount_ext4() {
	mount -t ext4 -o noatime,nosuid,nodev "$device" "$mount"
}

# mount_userdata: mounts UserData, and sets base to the folder that holds the overlays' state. Where that fails, base is a
# tmpfs, or empty where even that cannot be had.
mount_userdata() {
	base=$mount/overlay
	if ! find_userdata; then
		degraded "there is no partition $userdata on the root's disk; changes are kept in memory"
		use_tmpfs
		return
	fi
	load ext4
	check -p && mount_ext4 && return
	# What -p will not decide, or does not look at because the file system says that it is clean, is decided once by -fy.
	check -fy
	mount_ext4 && return
	degraded "UserData ($device) cannot be mounted; changes are kept in memory"
	use_tmpfs
}

# use_tmpfs: makes base a tmpfs, once.
use_tmpfs() {
	base=
	mkdir -p "$run/volatile" || return
	mounted "$run/volatile" || mount -t tmpfs -o nosuid,nodev,mode=0700 tmpfs "$run/volatile" || return
	base=$run/volatile
}

# features: mount options that turn off what would tie an upper layer to one root image, of those that this kernel knows.
# With them off, the same upper layer may be used over the next root image (Documentation/filesystems/overlayfs.rst).
features() {
	options=
	parameters=/sys/module/overlay/parameters
	[ -e $parameters/index ] && options=$options,index=off
	[ -e $parameters/xino_auto ] && options=$options,xino=off
	[ -e $parameters/redirect_dir ] && options=$options,redirect_dir=off
	[ -e $parameters/metacopy ] && options=$options,metacopy=off
}

# set_aside STATE: renames a state folder that has no upper layer. Nothing here makes one: it holds what somebody put there.
set_aside() {
	[ -e "$1" ] || [ -L "$1" ] || return 0
	number=1
	while [ -e "$1+lost$number" ] || [ -L "$1+lost$number" ]; do number=$((number + 1)); done
	say "$1 is no overlay's state; it becomes ${1##*/}+lost$number"
	mv "$1" "$1+lost$number"
}

# prepare STATE LOWER: makes an overlay's state: STATE/upper, with owner and mode of the folder that it will hide, and
# STATE/work. It is made under another name and renamed when it is whole, so that a power cut leaves no half of it.
prepare() {
	[ -d "$1/upper" ] && [ -d "$1/work" ] && return
	if [ -d "$1/upper" ]; then
		# Content that the image was built with. Its owner and mode were set then.
		mkdir "$1/work"
		return
	fi
	rm -rf "$1+new"
	set_aside "$1" &&
		mkdir -p "$1+new/upper" "$1+new/work" &&
		chown "$(stat -c %u:%g "$2")" "$1+new/upper" &&
		chmod "$(stat -c %a "$2")" "$1+new/upper" &&
		sync &&
		mv "$1+new" "$1"
}

# overlay NAME PATH: lays an overlay over PATH. The kernel keeps nothing of the user's in work: where what it left there is in
# the way, work is made anew.
overlay() {
	[ "$base" ] && prepare "$base/$1" "$2" || return
	mount_overlay "$base/$1" "$2" && return
	rm -rf "$base/$1/work" && mkdir "$base/$1/work" && mount_overlay "$base/$1" "$2"
}

mount_overlay() {
	mount -t overlay -o "noatime,lowerdir=$2,upperdir=$1/upper,workdir=$1/work$options" overlay "$2"
}

# overlay_or_degrade NAME PATH: overlay, on a tmpfs where UserData's state of this path cannot be used.
overlay_or_degrade() {
	overlay "$1" "$2" && return
	saved=$base
	if [ "$base" != "$run/volatile" ] && use_tmpfs && overlay "$1" "$2"; then
		degraded "the overlay of $2 on UserData cannot be mounted; $2 is in memory"
	else
		degraded "no overlay can be mounted on $2; it is read-only"
	fi
	base=$saved
}

set_up() {
	mount_kernel_filesystems
	mkdir -p "$run"
	mount_userdata
	load overlay
	features
	while read -r key name path; do
		[ "$key" = overlay ] && overlay_or_degrade "$name" "$path"
	done <"$config"
}

# What is above defines functions only: the tests take it up to here.

while read -r key value; do
	case $key in
	userdata) userdata=$value ;;
	mount) mount=$value ;;
	init) init=$value ;;
	esac
done <"$config"
[ $$ = 1 ] && set_up

# The init that was there when the image was built; the kernel's own choices should it have gone.
for candidate in "$init" /sbin/init /etc/init /bin/init /bin/sh; do
	[ -x "$candidate" ] && exec "$candidate" "$@"
done
