# What becomes of an overlay's topmost layer when the root under it is another one. Sourced by preinit.sh when it is.
#
# /usr/lib/imgbuild/manifest/NAME is written by the build: what the root has below the overlay, sorted, one a line:
#     f MODE UID:GID SHA256 PATH     a file
#     l MODE UID:GID SHA256 PATH     a symlink; the digest is its target's
#     d MODE UID:GID - PATH          a folder, before what is in it
# The state keeps the one of the root that the topmost layer was made over.
#
# With the policy refresh, copies in the topmost layer that are as that root had them are removed: nobody edited them, and so
# the new root's shall show. What somebody did edit stays, and is listed in the file shadowing where the new root changed it.
#
# With the policy reset nothing would be left where a root on trial gives way to the one before it: before.sh.

# change_root: carries out the policy. False only where the state cannot be used.
change_root() {
	# shellcheck source=src/overlay/layers.sh
	. "$library/layers.sh"
	refusal=
	if [ "$root" = - ]; then
		adopt_root
	elif [ "$policy" = reset ]; then
		# shellcheck source=src/overlay/requests.sh
		. "$library/requests.sh"
		say "$path is reset, because the root has changed"
		read_keeps
		# shellcheck source=src/overlay/before.sh
		{ [ ! -e "$run/trial" ] || { . "$library/before.sh" && keep_before; }; } && do_reset
	elif [ ! -e "$folder/manifest.$root" ]; then
		say "$path: no list of the former root's files is there, so that none are refreshed"
		adopt_root
	else
		refresh && adopt_root
	fi && return
	not_done "$path stays as it was over the former root"
	read_state "$folder"
}

adopt_root() {
	root=$id
	keep_manifest && write_state
}

# refresh: every step by itself is right, so that after a cut it is simply begun again.
refresh() {
	upper=$folder/$top
	before=$folder/manifest.$root
	now=$library/manifest/$name
	probe=$run/refresh/probe
	stack "$parent" && rm -rf "$run/refresh" && mkdir -p "$probe" && true >"$run/refresh/shadowing" || return
	while read -r kind mode owner digest file; do
		exists "$upper/$file" && reaches "$upper" "$file" || continue
		mark_parents "$file" && [ "$kind" != d ] || mark_parents "$file/" || return
		echo "$kind $mode $owner $digest $file"
	done <"$before" >"$run/refresh/candidates"
	look_through "$run/refresh/view" "$upper:$probe" || return
	refresh_files && refresh_folders && find_new_shadowing
	failed=$?
	umount "$run/refresh/view"
	[ $failed = 0 ] && cp "$run/refresh/shadowing" "$folder/shadowing"
	failed=$?
	rm -rf "$run/refresh"
	return $failed
}

# mark_parents FILE: puts markers into the probe's folders on the way to it.
mark_parents() {
	way=$probe
	rest=$1
	while :; do
		[ -e "$way/$marker" ] || true >"$way/$marker" || return
		[ "${rest#*/}" != "$rest" ] || return 0
		way=$way/${rest%%/*}
		rest=${rest#*/}
		[ -d "$way" ] || mkdir "$way" || return
	done
}

# merged FOLDER: whether it, "" or with a slash at its end, is merged with the root's: neither it nor one on its way is opaque.
merged() {
	[ -e "$run/refresh/view/$1$marker" ]
}

# frozen FILE: whether a layer between the topmost one and the root has it; then it is not the root's that would show.
frozen() {
	rest=$lowers$layered
	while [ "$rest" ]; do
		exists "${rest%%:*}/$1" && return
		rest=${rest#*:}
	done
	return 1
}

# unedited KIND MODE OWNER DIGEST FILE: whether the topmost layer's is as the former root's was.
unedited() {
	case $1 in
	f) [ -f "$upper/$5" ] && [ ! -L "$upper/$5" ] && sum=$(sha256sum <"$upper/$5") ;;
	l) [ -L "$upper/$5" ] && sum=$(printf %s "$(readlink "$upper/$5")" | sha256sum) ;;
	d) is_folder "$upper/$5" && sum=- ;;
	esac && [ "${sum%% *}" = "$4" ] && [ "$(stat -c '%a %u:%g' "$upper/$5")" = "$2 $3" ]
}

refresh_files() {
	while read -r kind mode owner digest file <&4; do
		[ "$kind" != d ] || continue
		case $file in
		*/*) parent_folder=${file%/*}/ ;;
		*) parent_folder= ;;
		esac
		if unedited "$kind" "$mode" "$owner" "$digest" "$file"; then
			merged "$parent_folder" && ! frozen "$file" || continue
			rm -f "$upper/$file" || return
		elif ! grep -Fqx -- "$kind $mode $owner $digest $file" "$now"; then
			! find_line "$file" "$now" || note_shadowing "$file"
		fi
	done 4<"$run/refresh/candidates"
}

# find_line FILE MANIFEST: sets kind, mode and owner to what a manifest says of a file; false where it says nothing.
find_line() {
	grep -F -- " $1" "$2" >"$run/refresh/found"
	while read -r kind mode owner _ found; do
		[ "$found" != "$1" ] || return 0
	done <"$run/refresh/found"
	return 1
}

note_shadowing() {
	echo "${path%/}/$1" >>"$run/refresh/shadowing"
}

# refresh_folders: those that nobody edited go when there is nothing left in them, or else get the new root's owner and mode.
refresh_folders() {
	folders=
	while read -r kind mode owner digest file; do
		[ "$kind" = d ] && folders="$mode $owner $file$newline$folders"
	done <"$run/refresh/candidates"
	while read -r mode owner file <&4; do
		[ "$file" ] && unedited d "$mode" "$owner" - "$file" && ! frozen "$file" && merged "$file/" || continue
		rmdir "$upper/$file" 2>/dev/null || take_over "$file" || return
	done 4<<-END
		$folders
	END
}

# take_over FOLDER: gives it owner and mode of the new root's, where that has it.
take_over() {
	find_line "$1" "$now" && [ "$kind" = d ] || return 0
	chown "$owner" "$upper/$1" && chmod "$mode" "$upper/$1"
}

# find_new_shadowing: lists what the new root has and the former had not, where there is something in the topmost layer.
find_new_shadowing() {
	while read -r kind mode owner digest file <&4; do
		[ "$kind" != d ] && exists "$upper/$file" && reaches "$upper" "$file" || continue
		find_line "$file" "$before" || note_shadowing "$file"
	done 4<"$now"
}
