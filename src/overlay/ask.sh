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
	asked=''
	read_state "$base/$name" && named "$1" && there=yes || there=
	[ ! -e "$mount/request" ] || while read -r action target word other; do
		[ "$target" = "$name" ] || continue
		case $action in
		snapshot) [ "$other" != "$1" ] || there=yes asked=yes ;;
		delete) [ "$word" != "$1" ] || there='' asked='' ;;
		reset) [ "$1" = factory ] || there='' asked='' ;;
		esac
	done <"$mount/request"
	[ "$there" ]
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
		fail "the request cannot be written to UserData, perhaps for want of room; the kernel arguments imgbuild.reset imgbuild.nokeep need none"
	}
	next_boot
}
