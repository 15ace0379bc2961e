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

# tell KIND FILE: prints a line of compare; a line break in a name would make two of it, and becomes a question mark.
tell() {
	told=$2
	while [ "$told" != "${told%%"$newline"*}" ]; do
		told="${told%%"$newline"*}?${told#*"$newline"}"
	done
	echo "$1 $told"
}

# compare FOLDER: prints what is different in $seen from what is in $under, in that folder. Only what a layer has can be.
compare() {
	for entry in "$seen$1"/* "$seen$1"/.[!.]* "$seen$1"/..?*; do
		exists "$entry" || continue
		entry=$1/${entry##*/}
		in_layers "$entry" || continue
		if ! exists "$under$entry"; then
			tell A "$entry"
			continue
		fi
		same "$seen$entry" "$under$entry" || tell M "$entry"
		is_folder "$seen$entry" && is_folder "$under$entry" && compare "$entry"
	done
	for entry in "$under$1"/* "$under$1"/.[!.]* "$under$1"/..?*; do
		exists "$entry" && ! exists "$seen$1/${entry##*/}" && tell D "$1/${entry##*/}"
	done
	return 0
}

# changes: compare, of the overlay as it is.
changes() {
	read_state "$base/$name" && stack "$parent" || return
	seen=${path%/}
	stacked=$folder/$top:$lowers
	root_folder
	compare ""
	leave_root_folder
}

report_diff() {
	need_userdata
	show_root
	each_overlay diff_of
}

diff_of() {
	changes | while read -r kind file; do
		echo "$kind ${path%/}$file"
	done
}
