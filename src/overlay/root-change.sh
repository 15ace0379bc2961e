# What becomes of an overlay's topmost layer when the root under it is another one. Sourced by preinit.sh when it is.
#
# /usr/lib/imgbuild/manifest/NAME is written by the build: what the root has below the overlay, sorted, one a line; its own folder is "."
# and the first:
#     f MODE UID:GID SHA256 PATH     a file
#     l MODE UID:GID SHA256 PATH     a symlink; the digest is its target's
#     d MODE UID:GID - PATH          a folder, before what is in it
# Beside the state is kept that of the root which the topmost layer was made over, manifest.ID.
#
# With the policy refresh, copies in the topmost layer that are as that root had them are removed: nobody edited them, and so
# the new root's shall show. What somebody did edit stays. Whatever hides what the new root has changed, in frozen layers too, is
# listed in the file shadowing. Extended attributes are in no manifest: a copy that has others than the new root's counts as edited, where
# there is getfattr to tell.
#
# What somebody had made as the new root has it before that came, on its maker's advice say, was edited and remains so: when that root goes
# again, on whatever way, it stays. manifest.ID has a "+" before the digest of such.
#
# With the policy reset nothing would be left where a root on trial gives way to the one before it: before.sh.

# change_root: carries out the policy. False only where the state cannot be used.
change_root() {
	# shellcheck source=src/overlay/layers.sh
	. "$library/layers.sh"
	refusal=
	waits=
	if [ "$root" = - ] || { [ "$policy" != reset ] && [ ! -e "$folder/manifest.$root" ]; }; then
		if [ -e "$run/trial" ]; then
			# The root that is fallen back to may be one that resets what another has made its own.
			waits=yes
		else
			[ "$root" = - ] || say "$path: no list of the former root's files is there, so that none are refreshed"
			adopt_root
		fi
	elif [ "$policy" = reset ]; then
		# shellcheck source=src/overlay/reset.sh
		. "$library/reset.sh"
		say "$path is reset, because the root has changed"
		read_keeps
		if [ -e "$run/trial" ]; then
			# shellcheck source=src/overlay/before.sh
			. "$library/before.sh" && keep_before && do_reset before
		else
			do_reset
		fi
	else
		refresh && adopt_root
	fi && return
	not_done "$path stays as it was over the former root${refusal:+: $refusal}"
	read_state "$folder"
}

# change_root_first: carries out the policy before a request, so that what a snapshot freezes is refreshed; what a reset is about to
# remove is not frozen before. False where there is nothing that the request could be carried out on; a restore would be the present root's.
change_root_first() {
	if [ "$policy" = reset ] && [ "$root" != - ]; then
		refusal="the root has changed, and with it all that was written is reset"
		return 1
	fi
	# shellcheck source=/dev/null # as above
	. "$library/storages.sh"
	mount_layers_of "$name"
	layers_of "$name"
	change_root
	changed=$?
	layered=
	[ $changed = 0 ] && { [ "$root" = "$id" ] || { [ "$waits" ] && [ "$action" != restore ]; }; }
}

# mount_layers_of OVERLAY: mounts the layers that are to lie over the root there, before it is their turn. What fails now does so then, too,
# and is said then.
mount_layers_of() {
	while read -r layer_key layer_number layer_overlay layer_kind layer_from <&4; do
		[ "$layer_key" != layer ] || [ "$layer_overlay" != "$1" ] || mounted "$run/layers/$layer_number" ||
			(mount_layer "$run/layers/$layer_number" "$layer_kind" "$layer_from" 2>/dev/null)
	done 4<"$config"
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
		printf '%s\n' "$kind $mode $owner $digest $file"
	done <"$before" >"$run/refresh/candidates"
	look_through "$run/refresh/view" "$upper:$lowers$layered$probe" || return
	refresh_files && take_stock && refresh_folders
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

# merged FOLDER: whether it, "" or with a slash at its end, is merged with the root's: neither it nor one on its way is opaque, in whichever
# layer.
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

# is_as LAYER KIND MODE OWNER DIGEST FILE: whether a layer has it as this line of a manifest says, and nobody had edited it then.
is_as() {
	case $2 in
	f) [ -f "$1/$6" ] && [ ! -L "$1/$6" ] && sum=$(sha256sum <"$1/$6") ;;
	l) [ -L "$1/$6" ] && sum=$(printf %s "$(readlink "$1/$6")" | sha256sum) ;;
	d) is_folder "$1/$6" && sum=- ;;
	esac && [ "${sum%% *}" = "$5" ] && [ "$(stat -c '%a %u:%g' "$1/$6")" = "$3 $4" ] && same_attributes "$1/$6" "${path%/}/$6"
}

# same_attributes COPY ROOTS: whether a copy has no extended attributes, ACLs and capabilities among them, but those of the root's.
same_attributes() {
	command -v getfattr >/dev/null || return 0
	attributes=$(attributes_of "$1")
	[ ! "$attributes" ] || [ "$attributes" = "$(attributes_of "$2")" ]
}

attributes_of() {
	getfattr -h -d -m - -e hex --absolute-names "$1" 2>/dev/null | grep -v -e '^#' -e '^trusted\.overlay\.'
}

refresh_files() {
	while read -r kind mode owner digest file <&4; do
		[ "$kind" != d ] || continue
		case $file in
		*/*) parent_folder=${file%/*}/ ;;
		*) parent_folder= ;;
		esac
		if is_as "$upper" "$kind" "$mode" "$owner" "$digest" "$file"; then
			merged "$parent_folder" && ! frozen "$file" || continue
			rm -f "$upper/$file" || return
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

# refresh_folders: those that nobody edited go when there is nothing left in them, or else get the new root's owner and mode. The topmost
# layer's own folder, which is never removed, has been made after the frozen one's.
refresh_folders() {
	folders=
	while read -r kind mode owner digest file; do
		[ "$kind" = d ] && folders="$mode $owner $digest $file$newline$folders"
	done <"$run/refresh/candidates"
	while read -r mode owner digest file <&4; do
		[ "$file" ] && is_as "$upper" d "$mode" "$owner" "$digest" "$file" || continue
		if [ "$file" != . ]; then
			! frozen "$file" && merged "$file/" || continue
			rmdir "$upper/$file" 2>/dev/null && continue
		fi
		take_over "$file" || return
	done 4<<-END
		$folders
	END
}

# take_over FOLDER: gives it owner and mode of the new root's, where that has it.
take_over() {
	find_line "$1" "$now" && [ "$kind" = d ] || return 0
	chown "$owner" "$upper/$1" && chmod "$mode" "$upper/$1"
}

# take_stock: makes the new root's manifest.ID, and lists what the new root has otherwise than the former where one of the overlay's own
# layers hides it. Before any folder is changed, and once: after a cut it could not tell what has been changed already.
take_stock() {
	while read -r kind mode owner digest file <&4; do
		edited=
		if written "$file"; then
			case $(grep -Fx -e "$kind $mode $owner $digest $file" -e "$kind $mode $owner +$digest $file" "$before") in
			"$kind $mode $owner +"*) edited=+ ;;
			'')
				if is_as "$holder" "$kind" "$mode" "$owner" "$digest" "$file"; then
					edited=+
				elif [ "$kind" != d ]; then
					printf '%s\n' "${path%/}/$file" >>"$run/refresh/shadowing" || return
				fi
				;;
			esac
		fi
		printf '%s\n' "$kind $mode $owner $edited$digest $file" || return
	done 4<"$now" >"$run/refresh/manifest"
	[ -e "$folder/manifest.$id" ] || put_manifest "$run/refresh/manifest" "$id"
}

# written FILE: whether the topmost layer or a frozen one has it; sets holder to the first that does.
written() {
	own_layers=$upper:$lowers
	while [ "$own_layers" ]; do
		holder=${own_layers%%:*}
		exists "$holder/$1" && reaches "$holder" "$1" && return
		own_layers=${own_layers#*:}
	done
	return 1
}
