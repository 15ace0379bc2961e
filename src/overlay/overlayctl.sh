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

# take_lock WHAT SECONDS: keeps others from the overlays or the slots, for as long as this runs; waits so long for one that is at work.
# Two may be started at once: at the end of the boot, and by hand.
take_lock() {
	waited=0
	until mkdir "$run/lock-$1" 2>/dev/null; do
		waited=$((waited + 1))
		[ $waited -le "$2" ] || fail "another overlayctl is at work; if not, remove $run/lock-$1"
		sleep 1
	done
	locks="$locks $run/lock-$1"
	# shellcheck disable=SC2086 # they have no blanks
	trap 'rmdir $locks' EXIT
	trap 'exit 1' HUP INT TERM
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

valid_name() {
	case $1 in
	'') usage "$command needs the name of a snapshot; overlayctl status lists them" ;;
	[!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) usage "a snapshot's name has letters, digits, dots, dashes and underscores: not \"$1\"" ;;
	factory) usage "factory is what the image was built with" ;;
	esac
}

# ready: one without a sound state is in memory, and nothing is to be noted of it.
ready() {
	read_state "$base/$name" && [ "$status" != ready ] || return 0
	status=ready
	write_state
}

# request_snapshot, request_named ACTION, request_all ACTION: add lines to lines, for the overlay that is looked at.
request_snapshot() {
	if read_state "$base/$name" && named "$snapshot"; then
		fail "$path has a snapshot $snapshot already"
	fi
	[ ! -e "$mount/request" ] || while read -r action target _ known; do
		[ "$action $target $known" != "snapshot $name $snapshot" ] ||
			fail "$path: a snapshot $snapshot is to be taken at the next boot already"
	done <"$mount/request"
	lines="${lines}snapshot $name $now $snapshot$newline"
}

request_named() {
	read_state "$base/$name" && named "$snapshot" || return 0
	lines="$lines$1 $name $snapshot$newline"
}

request_all() {
	lines="$lines$1 $name$newline"
}

# write_request: adds lines to what is to be done at the next boot.
write_request() {
	[ "$lines" ] || fail "no overlay has a snapshot ${snapshot:-of that name}"
	{
		if [ -e "$mount/request" ]; then
			cat "$mount/request"
		else
			read -r uuid </proc/sys/kernel/random/uuid
			echo "id $uuid"
		fi
		printf %s "$lines"
	} >"$mount/request+new" && sync && mv -f "$mount/request+new" "$mount/request" && sync || {
		rm -f "$mount/request+new"
		fail "there is no room for the request on UserData; the kernel arguments imgbuild.reset imgbuild.nokeep need none"
	}
	next_boot
}

next_boot() {
	if [ "$reboot" ]; then
		exec reboot
	fi
	echo "It is done at the next boot."
}

# request_reset: the patterns are written out, so that the request says all that it does.
request_reset() {
	lines="keep -$newline"
	[ "$no_keep" ] || while read -r key value; do
		[ "$key" != keep ] || lines="${lines}keep $value$newline"
	done <"$config"
	while read -r value; do
		[ ! "$value" ] || lines="${lines}keep $value$newline"
	done <<-END
		$keep
	END
	each_overlay request_all reset
}

# takes COMMAND...: whether the command is one of those; what an option is for is not to be lost on another.
takes() {
	for one; do
		[ "$one" != "$command" ] || return 0
	done
	usage "$command takes no $option"
}

command=${1:-}
[ $# = 0 ] || shift
force='' sha256='' json='' only='' reboot='' keep='' no_keep='' copy_option='' first_word='' second_word=''
while [ $# -gt 0 ]; do
	option=$1
	case $1 in
	--json | --no-keep | --copy | --force | --overlay | --keep | --sha256 | --reboot)
		case $1 in
		--json) takes status ;;
		--no-keep | --keep) takes reset ;;
		--copy) takes storage ;;
		--force | --sha256) takes update ;;
		--overlay) takes status diff snapshot restore delete merge reset export import ready ;;
		--reboot) takes snapshot restore delete merge reset storage update rollback ;;
		esac
		;;
	esac
	case $1 in
	--json) json=yes ;;
	--reboot) reboot=yes ;;
	--no-keep) no_keep=yes ;;
	--copy) copy_option=yes ;;
	--help) command=help ;;
	--force) force=yes ;;
	--overlay | --keep | --sha256)
		[ $# -gt 1 ] || usage "$1 needs a value"
		case $1 in
		--overlay)
			find_overlay "$2" || usage "there is no overlay $2"
			only=$only$2$newline
			;;
		--sha256) sha256=${2:-nothing} ;;
		*)
			case $2 in
			*"$newline"* | *[[:blank:]]) usage "--keep takes no line break, and no blank at the end; ? stands for either: not \"$2\"" ;;
			*/../* | */.. | *\\*) usage "--keep takes no \"..\" and no backslash: not \"$2\"" ;;
			/*) keep=$keep$2$newline ;;
			*) usage "--keep needs an absolute path: not \"$2\"" ;;
			esac
			;;
		esac
		shift
		;;
	'') usage "an empty argument says nothing: leave it out" ;;
	--*) usage "there is no option $1" ;;
	*)
		[ ! "$second_word" ] || usage "$1 is one too many"
		if [ "$first_word" ]; then second_word=$1; else first_word=$1; fi
		;;
	esac
	shift
done

case $command in
snapshot | restore | delete | merge | update) [ ! "$second_word" ] || usage "$second_word is one too many" ;;
status | diff | reset)
	[ ! "$first_word" ] || usage "$command takes no $first_word; --overlay PATH names an overlay"
	;;
rollback | confirm | cancel | ready)
	[ ! "$first_word" ] || usage "$command takes no $first_word"
	;;
esac
case $command in
help | --help | -h | '') ;;
*)
	[ -d "$run" ] || fail "there is no $run: this system was not started by $library/preinit"
	[ -w "$run" ] || fail "only root can do that"
	;;
esac

while read -r key value; do
	case $key in
	mount) mount=$value ;;
	policy) policy=$value ;;
	esac
done <"$config"
base=$mount/overlay
lines='' locks=

case $command in
snapshot | restore | delete | merge | reset | import | cancel | storage)
	need_userdata
	take_lock overlays 10
	;;
ready)
	# Were it not noted, the next boot would throw away what this one has written. An import may take long. A root on trial may be a
	# good one although UserData is none: slots.sh decides.
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
help | --help | -h | '') help ;;
status | diff)
	# shellcheck source=src/overlay/report.sh
	. "$library/report.sh"
	"report_$command"
	;;
snapshot)
	now=$(date +%s)
	snapshot=${first_word:-$(date +%Y%m%d-%H%M%S)}
	valid_name "$snapshot"
	each_overlay request_snapshot
	write_request
	;;
restore | delete)
	snapshot=$first_word
	[ "$command $snapshot" = "restore factory" ] || valid_name "$snapshot"
	each_overlay request_named "$command"
	write_request
	;;
merge)
	snapshot=$first_word
	if [ "$snapshot" ]; then
		valid_name "$snapshot"
		each_overlay request_named merge
	else
		each_overlay request_all merge
	fi
	write_request
	;;
reset)
	request_reset
	write_request
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
cancel) rm -f "$mount/request" && sync ;;
ready)
	each_overlay ready && rm -f "$run/pending"
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
