#!/bin/busybox sh
# The initramfs's /init: loads the modules that the kernel needs to reach its root, finds and mounts the root, and hands
# over to the init in it. It runs on busybox alone; the applets that it calls are listed in build.ts.
#
# Of the kernel's parameters (Documentation/admin-guide/kernel-parameters.txt) it honours rootfstype=, rootflags=, ro, rw,
# rootwait, rootdelay=, init= and, of root=, PARTUUID=, PARTLABEL= and /dev/NAME; LABEL= and UUID= besides. It does not know what
# the kernel knows beyond that: /PARTNROFF=, device numbers (8:1, 801), and disks of which only the backup GPT is left. With
# rd.shell there is a shell on the console when the root cannot be mounted.

PATH=/bin

# Level 3 (error) reaches the console even of a kernel that was told to be quiet.
say() {
	echo "<3>imgbuild: $*" >/dev/kmsg
}

give_up() {
	say "$*"
	say "block devices:$(block_devices)"
	if [ "$shell" ]; then
		/bin/busybox --install -s /bin
		echo "imgbuild: $*; leave this shell to go on trying"
		setsid cttyhack sh
		return
	fi
	say "add rd.shell to the kernel's arguments for a shell here"
	# Init ends: the kernel panics, and reboots where panic= says so. The message needs a moment on a slow console.
	sleep 1
	exit 1
}

block_devices() {
	found=
	for entry in /sys/class/block/*; do
		[ -e "$entry" ] && found="$found ${entry##*/}"
	done
	echo "${found:- none}"
}

# hex DEVICE OFFSET LENGTH: sets hex to bytes of a device, as hexadecimal digits. Starting programs is what takes time here:
# functions leave their results in variables, and are not called in $( ).
hex() {
	hex=$(dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | hexdump -v -e '1/1 "%02x"')
}

# swap HEX: sets swapped to the bytes of a hexadecimal number in the opposite order.
swap() {
	rest=$1
	swapped=
	while [ "$rest" ]; do
		tail=${rest#??}
		swapped=${rest%"$tail"}$swapped
		rest=$tail
	done
}

# guid_bytes GUID: sets guid to the bytes of a GUID as they are on disk: the first three fields are little-endian.
guid_bytes() {
	rest_of_guid=$1
	guid=
	for _ in 1 2 3; do
		swap "${rest_of_guid%%-*}"
		guid=$guid$swapped
		rest_of_guid=${rest_of_guid#*-}
	done
	guid=$guid${rest_of_guid%-*}${rest_of_guid#*-}
}

# gpt_entries DISK BLOCKSIZE: sets entries and entry_size, in bytes: where the partition entries of a GPT are. The header is
# block 1; at 72 it has the entries' first block (8 bytes), at 84 the size of one (4 bytes). UEFI specification, 5.3.2.
gpt_entries() {
	hex "$1" "$2" 88
	entry_size=
	case $hex in
	4546492050415254*) ;; # "EFI PART"
	*) return 1 ;;
	esac
	numbers=${hex#"${hex%????????????????????????????????}"}
	swap "${numbers#????????????????????????}"
	entry_size=$((0x$swapped))
	swap "${numbers%????????????????}"
	entries=$((0x$swapped * $2))
}

# gpt_guid DISK NUMBER: sets hex to the GUID of a partition, at 16 in its entry (5.3.3), after gpt_entries.
gpt_guid() {
	hex "$1" $((entries + ($2 - 1) * entry_size + 16)) 16
}

# find_partuuid PARTUUID: sets device to the partition of that PARTUUID: the signature of an MBR (at byte 440) and the
# partition's number in hexadecimal, or a GUID in a GPT. The form tells which table is meant; a GPT disk has a signature too.
find_partuuid() {
	case $1 in
	*[!0-9a-f-]*) return ;;
	????????-????-????-????-????????????) guid_bytes "$1" ;;
	????????-??)
		guid=
		swap "${1%-*}"
		wanted=$((0x${1#*-}))
		;;
	*) return ;;
	esac
	last=
	for entry in /sys/block/*/*/partition; do
		[ -e "$entry" ] || continue
		read -r number <"$entry"
		partition=${entry%/partition}
		disk=${partition%/*}
		if [ "$guid" ]; then
			if [ "$disk" != "$last" ]; then
				read -r block <"$disk/queue/logical_block_size"
				gpt_entries "/dev/${disk##*/}" "$block"
				last=$disk
			fi
			[ "$entry_size" ] && gpt_guid "/dev/${disk##*/}" "$number" && [ "$hex" = "$guid" ]
		else
			[ "$number" = "$wanted" ] && hex "/dev/${disk##*/}" 440 4 && [ "$hex" = "$swapped" ]
		fi && device=/dev/${partition##*/} && return
	done
}

# find_root: sets device to the node of what root= names, or leaves it empty.
find_root() {
	device=
	case $root in
	PARTUUID=*) find_partuuid "${root#*=}" ;;
	PARTLABEL=*)
		for partition in /sys/class/block/*; do
			if grep -qx "PARTNAME=${root#PARTLABEL=}" "$partition/uevent" 2>/dev/null; then
				device=/dev/${partition##*/}
				return
			fi
		done
		;;
	LABEL=* | UUID=*) device=$(findfs "$root" 2>/dev/null) ;;
	/dev/*) [ -b "$root" ] && device=$root ;;
	esac
}

# wait_for_root: find_root until it succeeds; gives up after half a minute unless the kernel was told to wait.
wait_for_root() {
	tenths=0
	find_root
	until [ "$device" ]; do
		case $tenths in
		20) say "waiting for the root, $root" ;;
		300)
			if [ "$wait" ]; then
				say "still waiting for the root, $root; block devices:$(block_devices)"
			else
				give_up "there is no $root"
			fi
			;;
		esac
		tenths=$((tenths + 1))
		# A busybox without FANCY_SLEEP knows whole seconds only; then the count has to stop at the same messages.
		sleep 0.1 2>/dev/null || { sleep 1 && tenths=$(((tenths / 10 + 1) * 10)); }
		find_root
	done
}

# open_verity: sets device to the root behind dm-verity, which checks each block that is read by the root hash in verity. The hash
# tree lies behind the SquashFS, which says at byte 40 how long it is; the tree's superblock has at 80 the salt's length and at 88 the
# salt. None of that has to be trusted: with another tree the root hash is another.
open_verity() {
	hex "$device" 40 8
	swap "$hex"
	blocks=$(((0x$swapped + 4095) / 4096))
	superblock=$((blocks * 4096))
	hex "$device" "$superblock" 8
	# "verity", and two zeros
	[ "$hex" = 7665726974790000 ] || give_up "there is no hash tree on $device"
	hex "$device" $((superblock + 80)) 2
	swap "$hex"
	hex "$device" $((superblock + 88)) $((0x$swapped))
	table="0 $((blocks * 8)) verity 1 $device $device 4096 4096 $blocks $((blocks + 1)) sha256 $verity ${hex:--}"
	# There is no udev to wait for. The kernel itself makes the node of the first such device.
	LD_LIBRARY_PATH=/lib dmsetup create imgbuild-root --readonly --noudevsync --noudevrules --table "$table" >/dev/kmsg 2>&1 ||
		give_up "dm-verity does not take the root on $device"
	device=/dev/dm-0
}

# has PATH: whether the root has it. Its symlinks point into the root, so that from here they may lead nowhere.
has() {
	[ -x "/newroot$1" ] || [ -L "/newroot$1" ]
}

# What is above defines functions only: the tests take it up to here.

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

root=
type=
flags=
access=ro
wait=
delay=
init=
shell=
verity=
read -r arguments </proc/cmdline
set -f
for word in $arguments; do
	case $word in
	root=PARTUUID=*) root=PARTUUID=$(echo "${word#root=*=}" | tr A-F a-f) ;;
	root=*) root=${word#*=} ;;
	rootfstype=*) type=${word#*=} ;;
	rootflags=*) flags=,${word#*=} ;;
	ro | rw) access=$word ;;
	rootwait) wait=yes ;;
	rootdelay=*) delay=${word#*=} ;;
	init=*) init=${word#*=} ;;
	rd.shell) shell=yes ;;
	imgbuild.verity=*) verity=${word#*=} ;;
	--) break ;;
	esac
done
set +f

# Of the optional ones some are for other processors.
while read -r module optional; do
	insmod "/modules/$module.ko" 2>/dev/null || [ "$optional" ] || say "the module $module does not load"
done </modules/order

[ "$delay" ] && sleep "$delay"
wait_for_root
[ "$verity" ] && open_verity
until mount ${type:+-t "$type"} -o "$access$flags" "$device" /newroot; do
	give_up "cannot mount $device ($root)${type:+ as $type}"
	[ "$verity" ] || find_root
done

# What the root has no folder for is not kept: it would hold the initramfs's memory.
for folder in dev proc sys; do
	if [ -d "/newroot/$folder" ]; then
		mount --move "/$folder" "/newroot/$folder"
	else
		umount "/$folder"
	fi
done

if [ "$init" ] && ! has "$init"; then
	echo "imgbuild: the root has no $init, which init= names" >&2
	init=
fi
for candidate in /sbin/init /etc/init /bin/init /bin/sh; do
	[ "$init" ] && break
	has "$candidate" && init=$candidate
done
# The kernel passes what it does not know itself, and all that follows --, on to init.
exec switch_root /newroot "${init:-/sbin/init}" "$@"
