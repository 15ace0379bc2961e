#!/bin/sh
# Runs as process 1 before the real init: mounts UserData, the writable partition beside the read-only root, and lays an
# overlay over each folder that is to be writable. Then it becomes the real init.
#
# POSIX sh, for busybox ash and dash. Nothing in it may stop the boot: what fails is said, noted in /run/imgbuild/degraded,
# and worked around, at the worst by leaving a folder read-only. (So nothing is redirected from or to a file with ":" or
# another special built-in, and nothing calculated with what is no number: the shell would end, and the kernel panic.) Every
# process that is started costs the boot a millisecond or more: on the usual way there are few.
#
# preinit.conf beside it is written by the build, one setting a line:
#     userdata NUMBER          UserData's partition, on the disk that the root is on
#     mount PATH               where UserData is mounted
#     grow -|NUMBER            UserData is to fill its disk; the number is that of the extended partition which it lies in
#     reserved SECTOR          where something begins that it must not grow over, in sectors of 512 bytes
#     init PATH                the real init
#     slots A B BLOCK HEADER TRIES CONFIRM DEADLINE   two slots for the root (slots.sh): their partitions, and where their
#                              environment is
#     first pending|ready      what a new overlay is: whether something in the root says when the first boot has completed
#     policy POLICY            what becomes of what was written, over another root: keep, reset or refresh
#     flag NUMBER              BootFS's partition, where the file factory-reset asks for a factory reset, too
#     keep PATTERN             files that a factory reset carries over
#     overlay NAME ID PATH     a folder to be writable; its state is in overlay/NAME on UserData, ID is the identity of what the
#                              root has there
#     layer NUMBER NAME FROM   a layer between the root and the overlay NAME, in a line further down; FROM is "userdata FILE",
#                              "partition NUMBER" or "device SPECIFICATION"
#     readonly NAME - PATH     a folder that has such layers over it, and cannot be written
#     volatile NAME - PATH     a folder to be writable in memory, over what the root has there
#     tmpfs MODE OWNER PATH    the same for a folder that is empty in the root; OWNER is UID,gid=GID

PATH=/usr/sbin:/usr/bin:/sbin:/bin
library=${0%/*}
config=$library/preinit.conf
run=/run/imgbuild
slots=

# Level 3 (error) reaches the console even of a kernel that was told to be quiet.
say() {
	if [ -w /dev/kmsg ]; then
		echo "<3>imgbuild: $*" >/dev/kmsg
	else
		echo "imgbuild: $*"
	fi
}

# not_done WHAT: something that was asked for has not been done. overlayctl status shows it for as long as this boot lasts.
not_done() {
	say "$*"
	[ ! -d "$run" ] || echo "$*" >>"$run/refused"
}

# degraded REASON: what is written now will not survive a reboot, or cannot be written. Programs find it in the file.
degraded() {
	say "degraded: $*"
	mkdir -p "$run" && echo "$*" >>"$run/degraded"
}

# The real init copes with these being mounted already: systemd, sysvinit and busybox init all look before they mount.
mount_kernel_filesystems() {
	[ -e /proc/self/mountinfo ] || mount -t proc -o nosuid,nodev,noexec proc /proc
	mounted /sys || mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
	mounted /dev || mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
	mounted /run || mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
}

# read_resets: sets resets to what the kernel's arguments wish to be reset, a wish a line (requests.sh), and once to the value of
# imgbuild.resetonce where that has not been done before. imgbuild.nokeep is of imgbuild.reset's wish, where there is one. The variable that
# imgbuild.resetonce comes from is the unit's, and so the internal UserData alone, once_folder, has the note of it, whichever is in use.
read_resets() {
	resets='' no_keep='' once='' done_once=
	read -r arguments </proc/cmdline
	case " $arguments " in
	*" imgbuild.nokeep "*) no_keep=,imgbuild.nokeep ;;
	esac
	case " $arguments " in
	*" imgbuild.reset "*) resets=all$no_keep ;;
	*" imgbuild.reset="*)
		resets=${arguments##*imgbuild.reset=}
		resets=${resets%% *}
		[ "$resets" ] && resets=$resets$no_keep || not_done "imgbuild.reset= names no overlay: no reset"
		;;
	esac
	case " $arguments " in
	*" imgbuild.resetonce="*)
		once=${arguments##*imgbuild.resetonce=}
		once=${once%% *}
		once_folder=$mount
		! mounted "$run/internal" || once_folder=$run/internal
		[ ! -e "$once_folder/reset-once" ] || read -r done_once <"$once_folder/reset-once"
		[ "$once" != "$done_once" ] && can_note_once || once=
		if [ "$once" ] && [ "$resets" ]; then
			resets=$resets$newline${once%%:*}
		elif [ "$once" ]; then
			resets=${once%%:*}$no_keep
		fi
		;;
	esac
}

# can_note_once: false where an internal UserData that is not in use has no room for the note, or cannot be written: there would be a reset
# at each boot. Where it is the one in use the reset makes room.
can_note_once() {
	[ "$once_folder" = "$mount" ] || { echo "$once" >"$once_folder/reset-once+new"; } 2>/dev/null && return
	not_done "the internal UserData cannot be written: no reset for imgbuild.resetonce=$once"
	return 1
}

# settle FOLDER: makes the state of an overlay fit to be mounted, and reads it.
settle() {
	if [ -e "$1/resetting" ]; then
		# shellcheck source=/dev/null # looked at further down: shellcheck takes each of these as a copy
		. "$library/reset.sh" && finish_reset "$1" || return
	fi
	if [ -e "$1/before" ]; then
		# shellcheck source=src/overlay/before.sh
		. "$library/before.sh" && settle_before "$1" || return
	fi
	if ! read_state "$1"; then
		if [ "$damaged" ]; then
			say "$1/state $damaged: reset it, or see to it"
			return 1
		fi
		create "$1"
		return
	fi
	case $made in
	*" $name "*) return ;;
	esac
	# Left by a cut; it may be what takes the room for what is made below.
	remove_garbage
	if [ ! -d "$folder/$top" ]; then
		# What the image was built with has none yet.
		[ "$top" = - ] || degraded "$path has lost what was written since the last snapshot ($folder/$top); it may be in lost+found on UserData"
		begin "$first" || return
	elif [ "$status" != ready ]; then
		first_boot_again || return
	elif [ "$root" != "$id" ] && [ "$policy" != keep ]; then
		# shellcheck source=src/overlay/root-change.sh
		. "$library/root-change.sh" && change_root || return
	fi
	if [ "$going" ]; then
		# shellcheck source=/dev/null
		. "$library/layers.sh" && . "$library/requests.sh" && fold_going
	fi
	remove_garbage
	[ -d "$folder/work${top#upper}" ] || mkdir "$folder/work${top#upper}"
}

# begin STATUS: makes the topmost layer anew.
begin() {
	status=$1 root=$id
	new_top "$parent" && keep_manifest && write_state
}

# first_boot_again: the boot before was the first over this layer, and did not complete: what it left is half-made. It begins
# anew, but not for ever: should nobody say when a boot has completed, what is written has to stay at last. So it does where there is no
# room for anything new.
first_boot_again() {
	if [ "$status" != pending ]; then
		note_ready
		say "the first boot with $path was not completed twice; what it wrote stays"
	elif begin "pending again"; then
		say "the first boot with $path was not completed; it begins anew"
	else
		degraded "the first boot with $path was not completed and cannot begin anew, perhaps for want of room; what it wrote is used"
		read_state "$folder"
	fi
}

# overlay: lays the overlay that name, id and path tell. The kernel keeps nothing of the user's in work: where what it left there
# is in the way, work is made anew.
overlay() {
	[ "$base" ] && settle "$base/$name" && stack "$parent" || return
	mount_overlay || { rm -rf "$folder/work${top#upper}" && mkdir "$folder/work${top#upper}" && mount_overlay; } || return
	[ "$status" = ready ] || [ "$base" != "$mount/overlay" ] || echo "$name" >>"$run/pending"
	return 0
}

# mount_overlay: the root's own overlay is laid over /rom, which then becomes the root.
mount_overlay() {
	point=$path
	[ "$path" != / ] || point=/rom
	overlay_options "$top" "work${top#upper}"
	lay "$overlay_options" "$point" || return
	[ "$path" != / ] || enter_root
}

# enter_root: makes the overlay on /rom the root, and the read-only root visible at /rom. The others come along; /proc last,
# because mount reads it.
enter_root() {
	for place in /dev /sys /run "$mount" /proc; do
		mounted "$place" && mount --move "$place" "/rom$place"
	done
	cd /rom && pivot_root . rom && cd / && return
	cd /
	for place in /proc /dev /sys /run "$mount"; do
		mount --move "/rom$place" "$place"
	done
	umount /rom
	return 1
}

# overlay_or_degrade: overlay, on a tmpfs where UserData's state of this path cannot be used: over what was written, if that can
# be read at least. A file system without a free inode is such a case.
overlay_or_degrade() {
	[ ! "$broken" ] && overlay && return
	saved=$base
	from_elsewhere=$layered
	if [ "$base" = "$mount/overlay" ] && read_state "$base/$name" && [ -d "$folder/$top" ] && stack "$parent"; then
		layered=$folder/$top:$lowers$layered
	fi
	if [ "$base" != "$run/volatile" ] && use_tmpfs && { overlay || { layered=$from_elsewhere && overlay; }; }; then
		[ "$broken" ] || degraded "the overlay of $path on UserData cannot be mounted; $path is in memory"
	else
		degraded "no overlay can be mounted on $path; it is read-only"
	fi
	base=$saved
}

# volatile: an overlay in memory, for what has to be writable and nobody wants to keep.
volatile() {
	saved=$base
	use_tmpfs &&
		folder=$base/$name top=upper lowers= &&
		mkdir "$folder" "$folder/work" &&
		folder_like "$path" "$folder/$top" &&
		mount_overlay ||
		degraded "nothing can be mounted on $path; it is read-only"
	base=$saved
}

# read_only: layers over a folder that nobody writes to.
read_only() {
	[ ! "$layered" ] || lay "ro,noatime,lowerdir=$layered$path" "$path" ||
		degraded "the layers of $path cannot be mounted"
}

set_up() {
	# shellcheck source=src/overlay/mounts.sh
	. "$library/mounts.sh"
	mount_kernel_filesystems
	[ -d "$run" ] || mkdir "$run"
	if [ "$slots" ]; then
		# shellcheck source=src/overlay/slots.sh
		. "$library/slots.sh" && note_slots
	fi
	# shellcheck source=src/overlay/userdata.sh
	. "$library/userdata.sh"
	# shellcheck source=src/overlay/state.sh
	. "$library/state.sh"
	mount_userdata
	if [ "$base" = "$mount/overlay" ] && [ ! "$broken" ]; then
		remove_partial
		if [ "$grow" ] && ! grown; then
			# shellcheck source=src/overlay/grow.sh
			. "$library/grow.sh" && grow_userdata
		fi
	fi
	if [ "$base" = "$mount/overlay" ] && [ -e "$mount/storage" ]; then
		# shellcheck source=src/overlay/storages.sh
		. "$library/storages.sh" && use_other_storage
	fi
	load overlay
	features
	read_resets
	made='' stuck='' layered='' flag_left=
	if [ "$base" = "$mount/overlay" ] && [ ! "$broken" ]; then
		if [ "$flag" ]; then
			# shellcheck source=src/overlay/boot-flag.sh
			. "$library/boot-flag.sh" && take_flag
		fi
		if [ "$resets" ] || [ -e "$mount/request" ] || [ -e "$mount/factory-reset" ]; then
			# shellcheck source=src/overlay/requests.sh
			. "$library/requests.sh" && carry_out
			[ ! "$flag_left" ] || drop_flag
		fi
	fi
	while read -r key name id path <&3; do
		case $key in
		layer)
			# shellcheck source=src/overlay/storages.sh
			. "$library/storages.sh" && add_layer
			continue
			;;
		overlay) overlay_or_degrade ;;
		volatile) volatile ;;
		readonly) read_only ;;
		tmpfs)
			mount -t tmpfs -o "nosuid,nodev,mode=$name,uid=$id" tmpfs "$path" ||
				degraded "nothing can be mounted on $path; it is read-only"
			;;
		esac
		layered=
	done 3<"$config"
	[ ! "$slots" ] || leave_deadline
}

grow='' flag='' root_numbers=''
while read -r key value; do
	case $key in
	userdata) userdata=$value ;;
	mount) mount=$value ;;
	grow) grow=$value ;;
	flag) flag=$value ;;
	init) init=$value ;;
	first) first=$value ;;
	policy) policy=$value ;;
	slots) slots=yes ;;
	esac
done <"$config"
[ $$ = 1 ] && set_up

# The init that was there when the image was built; the kernel's own choices should it have gone.
for candidate in "$init" /sbin/init /etc/init /bin/init /bin/sh; do
	[ -x "$candidate" ] && exec "$candidate" "$@"
done
