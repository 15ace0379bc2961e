# overlayctl's commands that ask for something at the next boot: snapshot, restore, delete, merge, reset, cancel. They are lines in
# the file request on UserData; requests.sh says which, and carries them out. Sourced by overlayctl.sh.

lines=

ask_snapshot() {
	now=$(date +%s)
	snapshot=${1:-$(date +%Y%m%d-%H%M%S)}
	valid_name "$snapshot"
	each_overlay request_snapshot
	write_request
}

ask_restore() {
	snapshot=$1
	[ "$1" = factory ] || valid_name "$1"
	each_overlay request_named restore
	write_request
}

ask_delete() {
	snapshot=$1
	valid_name "$1"
	each_overlay request_named delete
	write_request
}

ask_merge() {
	snapshot=$1
	if [ "$1" ]; then
		valid_name "$1"
		each_overlay request_named merge
	else
		each_overlay request_all merge
	fi
	write_request
}

# ask_reset: the patterns are written out, so that the request says all that it does.
ask_reset() {
	snapshot=
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
	write_request
}

ask_cancel() {
	rm -f "$mount/request" && flush "$mount" || fail "the request on UserData cannot be removed"
}

# request_snapshot, request_named ACTION, request_all ACTION: add lines to lines, for the overlay that is looked at.
request_snapshot() {
	if expected "$snapshot"; then
		[ "$asked" ] || fail "$path has a snapshot $snapshot already"
		fail "$path: a snapshot $snapshot is to be taken at the next boot already"
	fi
	lines="${lines}snapshot $name $now $snapshot$newline"
}

request_named() {
	! expected "$snapshot" || lines="$lines$1 $name $snapshot$newline"
}

request_all() {
	lines="$lines$1 $name$newline"
}

# expected NAME: whether the overlay will have a snapshot of that name when all has been done that is asked for already; sets asked
# where it is such a request that makes it.
expected() {
	asked=
	(foresee "$1")
	case $? in
	0) ;;
	2) asked=yes ;;
	*) return 1 ;;
	esac
}

# foresee NAME: for a shell of its own, which it leaves with the requests carried out on the state as it is in memory; nothing is made, and
# nothing written. 0 where the snapshot is there after that, 2 where it is one that is not there yet, 1 where there is none.
foresee() {
	# shellcheck source=/dev/null # shellcheck looks at it from preinit.sh
	. "$library/requests.sh"
	new_top() { top=$top+ parent=$1; }
	keep_manifest() { :; }
	write_state() { :; }
	do_reset() {
		factory_alone
		# shellcheck disable=SC2154 # factory_alone sets it
		layers=$base_layers going=
		new_top "$below"
	}
	features
	read_state "$base/$name" || return
	present=$layers
	[ ! -e "$mount/request" ] || while read -r action target words; do
		[ "$target" = "$name" ] || continue
		case $action in
		reset | snapshot | restore | delete | merge)
			# shellcheck disable=SC2086 # the words of a request have no blanks
			foresee_one $words
			;;
		esac
	done <"$mount/request"
	named "$1" || return
	case $newline$present in
	*"${newline}layer $layer_folder "*) return 0 ;;
	esac
	return 2
}

# foresee_one [WORD]...: what cannot be done changes nothing.
foresee_one() {
	layers_before=$layers going_before=$going
	if "do_$action" "$@"; then
		for one in $going; do drop_layer "$one"; done
	else
		layers=$layers_before going=$going_before
	fi
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
		fi && printf %s "$lines"
	} >"$mount/request+new" && flush "$mount" && mv -f "$mount/request+new" "$mount/request" && flush "$mount" || {
		rm -f "$mount/request+new"
		[ "$command" != reset ] ||
			fail "the request cannot be written to UserData, perhaps for want of room: delete something, or reset by the kernel arguments imgbuild.reset imgbuild.nokeep, which need none"
		fail "the request cannot be written to UserData, perhaps for want of room: delete something first, and reboot if that does not help"
	}
	next_boot
}
