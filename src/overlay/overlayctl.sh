#!/bin/sh
# overlayctl: the overlays of this device, looked at and changed. POSIX sh, for busybox ash and dash.
#
# Frozen layers and the topmost one may only be exchanged while nothing is mounted: what changes them is written down in the
# file request on UserData, and preinit carries it out at the next boot (requests.sh).

PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
umask 022
library=/usr/lib/imgbuild
config=$library/preinit.conf
run=/run/imgbuild

help() {
	cat <<-END
		usage: overlayctl COMMAND [OPTION]...

		  status [--json]           the overlays: layers, sizes, what differs from the root, what does not work
		  diff                      what differs from the root: A added, M changed, D deleted
		  snapshot [NAME]           keep the present state under a name (default: the date and the time)
		  restore NAME              go back to a snapshot; what was written since the last one is lost. "factory" is what
		                            the image was built with; snapshots stay
		  delete NAME               forget a snapshot; what builds on it stays as it is
		  merge [NAME]              forget all snapshots below the present state, or below that one
		  reset                     factory reset: all that was written goes, snapshots too
		  export NAME [FILE]        write a snapshot as a tar; - or no file is the standard output
		  import FILE [NAME]        add a snapshot from such a tar (- is the standard input), for restore
		  storage                   which device UserData is on
		  storage use DEVICE        have it on that one, an ext4 on a USB stick, say; the internal one when it is not there
		  storage release           have it on the internal one again
		  update FILE               write a new root into the other slot, and have it tried from the next boot on: a SquashFS,
		                            plain or packed with gzip, xz or zstd (- is the standard input)
		  rollback                  give up the root that waits or is on trial; otherwise try the root before this one, as an update
		  confirm                   the root that is on trial is good; the system says so by itself, unless it is not to
		  cancel                    drop what snapshot, restore, delete, merge and reset have asked for
		  ready                     note that the first boot has completed; the system does so by itself
		  help                      this

		snapshot, restore, delete, merge, reset and storage are carried out at the next boot.

		  --overlay PATH            of this overlay only, not of all; may be repeated
		  --reboot                  reboot at once
		  --keep PATTERN            reset: carry these files over too; may be repeated
		  --copy                    storage use: take what was written along
		  --no-keep                 reset: carry nothing over, not even what the image says
		  --sha256 HEX              update: what the hash of FILE has to be; otherwise FILE.sha256 or manifest.json beside it
		                            says so, where there is one
		  --force                   update: also to a root that has no modules for the kernel

		Ends with 0; 1 when it could not be done; 2 when it was called wrongly.
	END
}

say() {
	echo "overlayctl: $*" >&2
}

fail() {
	say "$*"
	exit 1
}

usage() {
	say "$*"
	say "overlayctl help says how it is called"
	exit 2
}

# shellcheck source=src/overlay/mounts.sh
. "$library/mounts.sh"
# shellcheck source=src/overlay/state.sh
. "$library/state.sh"

# shellcheck source=src/overlay/arguments.sh
. "$library/arguments.sh"

# shellcheck source=src/overlay/locks.sh
. "$library/locks.sh"

# work_folder: makes the folder own, unless it has been, which this process alone works and mounts in. One that is there already is of a
# process with the same number which was killed: the root may still be mounted in it, and nothing there is touched.
work_folder() {
	[ ! "$own" ] || return 0
	own=$run/overlayctl.$$
	while [ -e "$own" ]; do own=$own+; done
	mkdir -m 700 "$own" || {
		own=
		fail "there is no room in $run"
	}
}

# find_own_mounts: sets points to what is mounted in own, the last first.
find_own_mounts() {
	points=
	while read -r _ _ _ _ point _; do
		case $point in
		"$own"/*) points="$point $points" ;;
		esac
	done </proc/self/mountinfo
}

# clean_up: unmounts what is left in own, removes that and what is half-written, and gives the locks back. What is mounted is not to be
# deleted.
clean_up() {
	trap '' HUP INT TERM PIPE
	if [ "$own" ]; then
		find_own_mounts
		for point in $points; do
			umount "$point" || umount -l "$point"
		done
		find_own_mounts
		[ "$points" ] || rm -rf "$own"
	fi
	[ ! "$partial" ] || rm -rf "$partial"
	# shellcheck disable=SC2086 # they have no blanks
	[ ! "$locks" ] || rm -f $locks
}

need_userdata() {
	[ -d "$base" ] && mounted "$mount" || fail "UserData is not mounted; see overlayctl status"
}

# each_overlay COMMAND [ARGUMENT]...: calls it for the overlays that were asked for, with their name, id and path set. False
# when it was false for one.
each_overlay() {
	all=0
	while read -r key name id path <&3; do
		[ "$key" = overlay ] && wanted || continue
		"$@" || all=1
	done 3<"$config"
	return $all
}

wanted() {
	[ "$only" ] || return 0
	case $newline$only in
	*"$newline$path$newline"* | *"$newline$name$newline"*) return 0 ;;
	esac
	return 1
}

# ready: of one that is in memory nothing is to be noted, and pending does not have it.
ready() {
	grep -Fqx -- "$name" "$run/pending" 2>/dev/null && read_state "$base/$name" && [ "$status" != ready ] || return 0
	note_ready
}

next_boot() {
	if [ "$reboot" ]; then
		reboot
		return
	fi
	echo "It is done at the next boot."
}

read_arguments "$@"
if [ "$command" = help ]; then
	help
	exit
fi
[ -d "$run" ] || fail "there is no $run: this system was not started by $library/preinit"
[ -w "$run" ] || fail "only root can do that"

while read -r key value; do
	case $key in
	mount) mount=$value ;;
	policy) policy=$value ;;
	esac
done <"$config"
base=$mount/overlay
own='' locks='' partial=''
trap clean_up EXIT
trap 'exit 1' HUP INT TERM PIPE

case $command in
snapshot | restore | delete | merge | reset | cancel | storage)
	need_userdata
	take_lock overlays 10
	;;
import)
	need_userdata
	take_lock import 10
	;;
ready)
	# Were it not noted, the next boot would throw away what this one has written. What is deleted by an import may be much. A root on
	# trial may be a good one although UserData is none: slots.sh decides.
	[ -e "$run/trial" ] || need_userdata
	take_lock overlays 600
	;;
update | rollback | confirm) take_lock slots 10 ;;
esac
case $command in
status | ready | update | rollback | confirm)
	# shellcheck source=src/overlay/slots.sh
	. "$library/slots.sh"
	;;
esac
case $command in
update | rollback | confirm) find_slots ;;
esac
case $command in
status)
	# shellcheck source=src/overlay/report.sh
	. "$library/report.sh"
	report_status
	;;
diff)
	# shellcheck source=src/overlay/differences.sh
	. "$library/differences.sh"
	report_diff
	;;
snapshot | restore | delete | merge | reset | cancel)
	# shellcheck source=src/overlay/ask.sh
	. "$library/ask.sh"
	"ask_$command" "$first_word"
	;;
storage)
	# shellcheck source=src/overlay/storage-command.sh
	. "$library/storage-command.sh"
	case $first_word in
	'') show_storage ;;
	use) use_storage "$second_word" ;;
	release) release_storage ;;
	*) usage "there is no overlayctl storage $first_word" ;;
	esac
	;;
ready)
	each_overlay ready || fail "it cannot be noted on UserData that the first boot has completed: the next one may begin it anew"
	rm -f "$run/pending"
	if [ -e "$run/trial" ]; then
		take_lock slots 10
		find_slots
		confirm_boot
	fi
	;;
update)
	# shellcheck source=src/overlay/update.sh
	. "$library/update.sh"
	update "$first_word"
	;;
rollback) roll_back ;;
confirm) confirm_slot ;;
export | import)
	# shellcheck source=src/overlay/transfer.sh
	. "$library/transfer.sh"
	"${command}_snapshot" "$first_word" "$second_word"
	;;
*) usage "there is no command $command" ;;
esac
