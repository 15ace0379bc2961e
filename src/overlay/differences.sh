# What differs between the root and what is seen over it: overlayctl diff. Sourced by overlayctl.sh, report.sh and transfer.sh.

# shellcheck source=src/overlay/layers.sh
. "$library/layers.sh"
# shellcheck source=src/overlay/storages.sh
. "$library/storages.sh"

# show_root: sets rom to where the root is seen without what is mounted in it. Whatever this mounts goes with clean_up at the latest.
show_root() {
	work_folder
	rom=$own/rom
	# Read-only, for / may be writable; and private, or what is mounted anywhere meanwhile would appear here too, and go when this goes.
	mkdir "$rom" && mount --bind / "$rom" && mount --make-private "$rom" && mount -o remount,bind,ro / "$rom" ||
		fail "the root cannot be looked at"
}

# root_folder: sets under to what is below the overlay's layers on UserData, after show_root. leave_root_folder ends it.
root_folder() {
	if [ "$path" = / ]; then
		under=/rom
	else
		under=$rom$path
	fi
	layers_of "$name"
	if [ "$layered" ] && look_through "$own/under" "$layered$under"; then
		under=$own/under
	fi
}

leave_root_folder() {
	! mounted "$own/under" || umount "$own/under"
}

# in_layers FILE: whether one of the layers in $stacked, paths with a colon behind each, has it.
in_layers() {
	rest=$stacked
	while [ "$rest" ]; do
		exists "${rest%%:*}$1" && return
		rest=${rest#*:}
	done
	return 1
}

# kind_of FILE: sets kind.
kind_of() {
	if [ -L "$1" ]; then
		kind="link"
	elif [ -d "$1" ]; then
		kind=folder
	elif [ -f "$1" ]; then
		kind="file"
	else
		kind=$(stat -c %t:%T "$1")
	fi
}

# same FILE OTHER: whether both are of one kind, with the same owner, mode and content.
same() {
	kind_of "$1"
	first_kind=$kind
	kind_of "$2"
	[ "$kind" = "$first_kind" ] && [ "$(stat -c '%a %u:%g' "$1")" = "$(stat -c '%a %u:%g' "$2")" ] || return
	case $kind in
	file) cmp -s "$1" "$2" ;;
	link) [ "$(readlink "$1")" = "$(readlink "$2")" ] ;;
	esac
}

# tell KIND FILE: prints a line of diff; a line break in a name would make two of it, and becomes a question mark.
tell() {
	told=${path%/}$2
	while [ "$told" != "${told%%"$newline"*}" ]; do
		told="${told%%"$newline"*}?${told#*"$newline"}"
	done
	printf '%s\n' "$1 $told"
}

# compare FOLDER COMMAND: calls the command with A, M or D and the path of each that is different in $seen from what is in $under, in that
# folder. False as soon as the command is. Only what a layer has can be different.
compare() {
	for entry in "$seen$1"/* "$seen$1"/.[!.]* "$seen$1"/..?*; do
		exists "$entry" || continue
		entry=$1/${entry##*/}
		in_layers "$entry" || continue
		if ! exists "$under$entry"; then
			"$2" A "$entry" || return
			continue
		fi
		same "$seen$entry" "$under$entry" || "$2" M "$entry" || return
		! is_folder "$seen$entry" || ! is_folder "$under$entry" || compare "$entry" "$2" || return
	done
	for entry in "$under$1"/* "$under$1"/.[!.]* "$under$1"/..?*; do
		! exists "$entry" || exists "$seen$1/${entry##*/}" || "$2" D "$1/${entry##*/}" || return
	done
}

# changes COMMAND: compare, of the overlay as it is.
changes() {
	read_state "$base/$name" && stack "$parent" || return
	seen=${path%/}
	stacked=$folder/$top:$lowers
	root_folder
	compare "" "$1"
	compared=$?
	leave_root_folder
	return $compared
}

report_diff() {
	need_userdata
	show_root
	each_overlay changes tell || fail "not all differences can be told; see overlayctl status"
}
