# The two root slots: which one runs, and going back and forth between them. Sourced by preinit.sh, which finds out, and by
# overlayctl.sh, where the build has two slots. docs/device.md explains the states.

# shellcheck source=src/overlay/environment.sh
. "$library/environment.sh"

# shellcheck disable=SC2034 # tries is for update.sh
# read_slots: sets slot_a and slot_b (partition numbers), block, usual_header, tries, confirm and deadline; false where there is one slot only.
read_slots() {
	while read -r key slot_a slot_b block usual_header tries confirm deadline; do
		[ "$key" = slots ] && return
	done <"$config"
	return 1
}

# device_name FOLDER: sets device to the node of what /sys has in that folder.
device_name() {
	device=
	while IFS='=' read -r key value; do
		[ "$key" = DEVNAME ] && device=/dev/$value
	done 2>/dev/null <"$1/uevent"
	[ -b "$device" ]
}

# argument NAME: sets value to that of an argument of the kernel's; false where it has none.
argument() {
	read -r arguments </proc/cmdline
	case " $arguments" in
	*" $1="*) value=${arguments##*"$1="} ;;
	*) value= ;;
	esac
	value=${value%% *}
	[ "$value" ]
}

# note_slots: for preinit, while / is still the root's own mount: notes for later which slot runs, and the devices. Where it is
# on trial, notes that too: then something has to confirm it. What this installation of the slots is known by comes from the boot
# script, and not from preinit.conf: what an update brings is of another build.
note_slots() {
	read_slots || return 0
	while read -r _ _ numbers _ point _; do
		[ "$point" = / ] && here=/sys/dev/block/$numbers
	done </proc/self/mountinfo
	# Behind dm-verity the root is a device of its own, on top of its partition.
	for entry in "$here"/slaves/*/partition; do
		[ ! -e "$entry" ] || here=${entry%/partition}
	done
	other_device=
	running=
	[ ! -e "$here/partition" ] || read -r running <"$here/partition"
	case $running in
	"$slot_a") other=$slot_b ;;
	"$slot_b") other=$slot_a ;;
	*)
		say "the root is in no slot: updates do not work"
		return
		;;
	esac
	for entry in "$here"/../*/partition; do
		[ -e "$entry" ] || continue
		read -r number <"$entry"
		[ "$number" != "$other" ] || { device_name "${entry%/partition}" && other_device=$device; }
	done
	if ! device_name "$here/.." || [ ! "$other_device" ]; then
		say "the other slot has no device: updates do not work"
		return
	fi
	disk=$device
	if ! argument imgbuild.slots; then
		say "no boot script with slots has started this kernel: updates do not work"
		return
	fi
	installation=$value
	echo "$running $other $disk $other_device $installation" >"$run/slots"
	if tried; then
		true >"$run/trial"
		say "this root is on trial, ${trial%/*} of ${trial#*/}"
	fi
}

# leave_deadline: for preinit, before it becomes the real init: on trial, leaves a process behind which restarts a root that hangs. It is a
# shell of its own, so that it has none of what is open here.
leave_deadline() {
	[ -e "$run/trial" ] && [ "${deadline:-0}" != 0 ] || return 0
	sh "$library/deadline.sh" "$deadline" "$run/trial" </dev/null >/dev/null 2>&1 &
}

# tried: whether the root that runs is on trial; sets trial to the number of this try, a slash and how many there may be. The boot
# script says so, 0 where it is not. One from before it did says nothing, nor does it of a slot that was chosen at U-Boot's
# prompt: then the environment is read, which takes a dozen programs.
tried() {
	argument imgbuild.trial
	trial=$value
	case $trial in
	0) return 1 ;;
	[1-9]/[1-9]) return ;;
	esac
	work=$run/environment
	read_environment && on_trial && trial=$bootcount/$bootlimit
}

# shellcheck disable=SC2154 # own is overlayctl's
# find_slots: for overlayctl: sets running, other, disk and other_device, and the environment's variables.
find_slots() {
	read_slots || fail "this image has one slot for the root; the profile can have two"
	[ -e "$run/slots" ] || fail "the slots have not been found at boot; see the console's log"
	read -r running other disk other_device installation <"$run/slots"
	running_hex=$(printf %x "$running")
	other_hex=$(printf %x "$other")
	variables="$variables root_hash_$running_hex root_hash_$other_hex"
	work_folder
	work=$own/environment
	# Who only looks has no lock: both copies may be half-written at the moments when they are read, but not twice in a row.
	read_environment || read_environment ||
		say "the slots have no environment of this installation yet: the next change makes one"
	[ "$root_part" ] || root_part=$running_hex
}

# on_trial: whether the root that runs has not been confirmed.
on_trial() {
	[ "$upgrade_available" = 1 ] && [ "$root_part" = "$(printf %x "$running")" ]
}

# settle_on SLOT OLD: has SLOT booted from now on, with OLD to go back to.
settle_on() {
	root_part=$1 root_old=$2 trial_note='' upgrade_available=0 bootcount='' bootlimit=''
	write_environment || fail "the slots' environment cannot be written to $disk"
}

# try_other NOTE: has the other slot tried from the next boot on, with the one that runs to fall back to. NOTE: back, where what is
# there had been confirmed once.
try_other() {
	root_part=$other_hex root_old=$running_hex root_failed='' trial_note=$1 upgrade_available=1 bootcount=0 bootlimit=$tries
	note_degraded
	write_environment || fail "the slots' environment cannot be written to $disk"
}

# digest_of REASON: sets digest to eight digits by which a reason in $run/degraded is known to another root.
digest_of() {
	digest=$(printf %s "$1" | sha256sum)
	digest=${digest%"${digest#????????}"}
}

# note_degraded: adds to trial_note what does not work with the root that runs, as far as there is room for it.
note_degraded() {
	[ -e "$run/degraded" ] || return 0
	while read -r reason && [ ${#trial_note} -lt 900 ]; do
		digest_of "$reason"
		trial_note=$trial_note${trial_note:+,}$digest
	done <"$run/degraded"
}

# newly_degraded: whether something does not work that did with the root before; sets reason to the first.
newly_degraded() {
	[ -e "$run/degraded" ] || return 1
	while read -r reason; do
		digest_of "$reason"
		case ,$trial_note, in
		*",$digest,"*) ;;
		*) return 0 ;;
		esac
	done <"$run/degraded"
	return 1
}

# confirm_slot: the root that runs is good.
confirm_slot() {
	if on_trial; then
		settle_on "$running_hex" "$root_old"
		# What falling back would have brought back: before.sh. The next boot removes the layers.
		rm -rf "$mount"/overlay/*/before
	elif [ "$upgrade_available" = 1 ]; then
		fail "the new root does not run yet: it is tried at the next boot"
	elif [ ! "$counts" ] && [ -e "$run/trial" ]; then
		fail "the root on trial is not confirmed: the slots' environment cannot be read from $disk"
	fi
	rm -f "$run/trial"
}

# confirm_boot: the same at the end of a boot, unless it is another's to say, or the boot did not go well. What did not work with the
# root before either, a stick that is not plugged in, say, is no fault of this one.
confirm_boot() {
	[ "$confirm" = automatic ] || return 0
	! newly_degraded || fail "the root on trial is not confirmed: $reason; overlayctl confirm does it all the same"
	confirm_slot
}

# roll_back: what is on trial is given up; from a confirmed root the one before it is tried, for nobody knows whether it still comes
# up. What had been confirmed once can be gone back to again after it was given up.
roll_back() {
	if [ "$upgrade_available" = 1 ]; then
		case ,$trial_note, in
		*,back,*) settle_on "${root_old:-$running_hex}" "$root_part" ;;
		*) settle_on "${root_old:-$running_hex}" '' ;;
		esac
	elif [ "$root_old" = "$other_hex" ]; then
		try_other back
		at_next_boot "Partition $other is tried at the next boot, $tries times at most; partition $running is what it falls back to."
		return
	elif [ "$root_part $root_old" = "$other_hex $running_hex" ]; then
		settle_on "$running_hex" "$other_hex"
	else
		fail "the other slot holds no root to go back to"
	fi
	if [ "$root_part" = "$running_hex" ]; then
		echo "Partition $running stays the root."
	else
		at_next_boot "Partition $other is the root from the next boot on."
	fi
	# When to restart is up to who said nothing of it. With --reboot, the deadline sees to a restart that hangs.
	rm -f "$run/trial"
}

# at_next_boot MESSAGE
at_next_boot() {
	if [ "$reboot" ]; then
		exec reboot
	fi
	echo "$1"
}

# slot_state: sets state to what is told of the slots: confirmed, trial, waiting (for the boot that tries the new one), or
# switched (another slot is the root at the next boot, as where this one was chosen at U-Boot's prompt); and left to how many tries are left.
slot_state() {
	left=0
	[ "$upgrade_available" != 1 ] || left=$((${bootlimit:-0} - ${bootcount:-0}))
	if on_trial; then
		state=trial
	elif [ "$upgrade_available" = 1 ]; then
		state=waiting
	elif [ "$root_part" = "$running_hex" ]; then
		state=confirmed
	else
		state=switched
	fi
	old=none failed=none
	[ ! "$root_old" ] || old=$((0x$root_old))
	[ ! "$root_failed" ] || failed=$((0x$root_failed))
}

plain_slots() {
	slot_state
	case $state in
	confirmed) echo "Root: partition $running, confirmed" ;;
	trial) echo "Root: partition $running, on trial, tries left: $left; overlayctl confirm ends it" ;;
	waiting) echo "Root: partition $running; partition $other is tried at the next boot, $left tries" ;;
	switched) echo "Root: partition $running; partition $((0x$root_part)) from the next boot on" ;;
	esac
	[ "$state" = waiting ] || [ "$old" = none ] || [ "$old" = "$running" ] ||
		echo "  partition $old holds the root before it: overlayctl rollback"
	[ "$failed" = none ] || echo "  the root in partition $failed did not come up, or was not confirmed"
}

or_null() {
	echo "$1" | sed 's/none/null/'
}

json_slots() {
	slot_state
	printf '"slots":{"running":%s,"other":%s,"otherDevice":"%s","state":"%s","triesLeft":%s,"old":%s,"failed":%s},' \
		"$running" "$other" "$other_device" "$state" "$left" "$(or_null "$old")" "$(or_null "$failed")"
}
