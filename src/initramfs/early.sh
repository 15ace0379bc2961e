#!/bin/busybox sh
# The initramfs's /init: loads the modules that the kernel needs to reach its root, finds and mounts the root, and hands
# over to the init in it. It runs on busybox alone; the applets that it calls are listed in build.ts.
#
# It honours root=, rootfstype=, rootflags=, ro, rw, rootwait, rootdelay= and init= as the kernel does without an initramfs
# (Documentation/admin-guide/kernel-parameters.txt), and rd.shell: a shell on the console when the root cannot be mounted.

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

# hex DEVICE OFFSET LENGTH: bytes of a device as hexadecimal digits.
hex() {
	dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | hexdump -v -e '1/1 "%02x"'
}

# swap HEX: the bytes of a hexadecimal number in the opposite order.
swap() {
	rest=$1
	swapped=
	while [ "$rest" ]; do
		tail=${rest#??}
		swapped=${rest%"$tail"}$swapped
		rest=$tail
	done
	echo "$swapped"
}

# mbr_partuuid DISK NUMBER: signature of the disk (byte 440 of the MBR) and number of the partition.
mbr_partuuid() {
	printf '%s-%02x\n' "$(swap "$(hex "$1" 440 4)")" "$2"
}

# gpt_partuuid DISK NUMBER BLOCKSIZE: the partition's GUID. The header is block 1; at 72 it has the first block of the entries
# (8 bytes), at 84 the size of an entry (4 bytes); an entry has its GUID at 16 (UEFI specification, 5.3). The first three
# fields of a GUID are little-endian.
gpt_partuuid() {
	[ "$(hex "$1" "$3" 8)" = 4546492050415254 ] || return # "EFI PART"
	entries=$((0x$(swap "$(hex "$1" $(($3 + 72)) 8)") * $3))
	size=$((0x$(swap "$(hex "$1" $(($3 + 84)) 4)")))
	guid=$(hex "$1" $((entries + ($2 - 1) * size + 16)) 16)
	end=${guid#????????????????}
	start=${guid%"$end"}
	middle=${start#????????}
	last=${end#????}
	echo "$(swap "${start%"$middle"}")-$(swap "${middle%????}")-$(swap "${middle#????}")-${end%"$last"}-$last"
}

# partuuid PARTITION DISK: what root=PARTUUID= would have to say, by names in /sys/class/block. The form of what is looked
# for tells which table to read: a GPT disk has a signature as well.
partuuid() {
	number=$(cat "/sys/class/block/$1/partition")
	case $wanted in
	*-*-*-*-*) gpt_partuuid "/dev/$2" "$number" "$(cat "/sys/class/block/$2/queue/logical_block_size")" ;;
	*) mbr_partuuid "/dev/$2" "$number" ;;
	esac
}

# find_root: sets device to the node of what root= names, or leaves it empty.
find_root() {
	device=
	case $root in
	PARTUUID=*)
		wanted=$(echo "${root#PARTUUID=}" | tr A-F a-f)
		for entry in /sys/class/block/*/partition; do
			[ -e "$entry" ] || continue
			partition=${entry%/partition}
			disk=$(readlink -f "$partition/..")
			partition=${partition##*/}
			if [ "$(partuuid "$partition" "${disk##*/}")" = "$wanted" ]; then
				device=/dev/$partition
				return
			fi
		done
		;;
	PARTLABEL=*)
		for entry in /sys/class/block/*/partition; do
			[ -e "$entry" ] || continue
			partition=${entry%/partition}
			if grep -qx "PARTNAME=${root#PARTLABEL=}" "$partition/uevent"; then
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

# has PATH: whether the root has it. Its symlinks point into the root, so that from here they may lead nowhere.
has() {
	[ -x "/newroot$1" ] || [ -L "/newroot$1" ]
}

# The tests load the functions above without running what follows.
[ "$IMGBUILD_TEST" ] && return 0

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
read -r arguments </proc/cmdline
set -f
for word in $arguments; do
	case $word in
	root=*) root=${word#*=} ;;
	rootfstype=*) type=${word#*=} ;;
	rootflags=*) flags=,${word#*=} ;;
	ro | rw) access=$word ;;
	rootwait) wait=yes ;;
	rootdelay=*) delay=${word#*=} ;;
	init=*) init=${word#*=} ;;
	rd.shell) shell=yes ;;
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
until mount ${type:+-t "$type"} -o "$access$flags" "$device" /newroot; do
	give_up "cannot mount $device ($root)${type:+ as $type}"
	find_root
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
