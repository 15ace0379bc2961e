# Snapshots as tar files: overlayctl export and import. Sourced by overlayctl.sh.
#
#     imgbuild-snapshot      "snapshot NAME TIME", and for each overlay "overlay NAME ID PATH" with the root's identity; it is the
#                            last one, so that a tar that was cut short has none
#     NAME/files/            what the layers hold, as it is seen through all of them
#     NAME/deleted           what of the root is not seen, a path a line
#
# No whiteouts and no xattrs of overlayfs are in it: tar may lose them, and what is deleted is told by name. Import has the
# kernel make whiteouts of that.

# shellcheck source=src/overlay/differences.sh
. "$library/differences.sh"
# shellcheck source=src/overlay/ask.sh
. "$library/ask.sh"
features

# export_snapshot NAME [FILE]
export_snapshot() {
	snapshot=$1
	[ "$1" = factory ] || valid_name "$1"
	need_userdata
	[ ! -d "$2" ] || fail "$2 is a folder; name a file in it"
	take_lock overlays 10
	show_root
	stage=$own/export
	mkdir "$stage" "$own/empty" || fail "there is no room in $run"
	lines='' staged=
	each_overlay stage_overlay || fail "what the snapshot holds cannot be looked at"
	if [ ! "$lines" ]; then
		each_overlay is_asked || fail "the snapshot $snapshot is taken at the next boot, and can be exported then"
		fail "there is no snapshot $snapshot"
	fi
	printf 'snapshot %s %s\n%s' "$snapshot" "$time" "$lines" >"$stage/imgbuild-snapshot" || fail "there is no room in $run"
	# Only a boot changes the layers that are mounted here; others need not wait for a slow medium.
	drop_lock overlays
	write_tar "$2"
}

# is_asked: false where it is to be taken at the next boot.
is_asked() {
	! expected "$snapshot"
}

# write_tar [FILE]: the file appears when it is whole, and is root's alone: passwords may be in it. None, or -, is the standard
# output; a device or a pipe is written as it is.
write_tar() {
	umask 077
	tar_name "${1:--}"
	if [ "$tar" = - ]; then
		make_tar && return
	elif [ -e "$tar" ] && [ ! -f "$tar" ]; then
		make_tar >"$tar" && return
	else
		partial=$tar+new
		make_tar >"$partial" && flush "$partial" && mv -f "$partial" "$tar" && flush "$tar" && return
	fi
	say "the snapshot cannot be written to ${1:-the standard output}"
	return 1
}

make_tar() {
	# shellcheck disable=SC2086 # names of overlays have no blanks
	tar -c -f - -C "$stage" $staged ./imgbuild-snapshot
}

# tar_name FILE: sets tar to a name that no program takes for an option, nor GNU tar for a file on another host.
tar_name() {
	case $1 in
	*/* | -) tar=$1 ;;
	*) tar=./$1 ;;
	esac
}

stage_overlay() {
	read_state "$base/$name" && named "$snapshot" || return 0
	time=$layer_time
	stack "$layer_folder" || return
	root_folder
	mkdir "$stage/$name" && look_through "$stage/$name/files" "$lowers$own/empty" || return
	look_through "$own/seen" "$lowers$under" || return
	seen=$own/seen
	stacked=$lowers
	compare "" list_deleted >"$stage/$name/deleted" || return
	umount "$seen"
	leave_root_folder
	lines="${lines}overlay $name $id $path$newline"
	staged="$staged ./$name"
}

# list_deleted KIND FILE: a path a line cannot have one with a line break. The list without it would have the file back on another device.
list_deleted() {
	case $1$2 in
	D*"$newline"*) fail "there is a line break in the name of a file that was deleted: no export can say this: $(tell D "$2")" ;;
	D*) printf '%s\n' "$2" ;;
	esac
}

# import_snapshot FILE [NAME]
import_snapshot() {
	[ "$1" ] || usage "import needs a file"
	tar_name "$1"
	[ "$tar" = - ] || [ -e "$tar" ] || fail "there is no file $1"
	[ ! "$2" ] || valid_name "$2"
	stage=$mount/import+new
	rm -rf "$stage" && mkdir -m 700 "$stage" || fail "there is no room on UserData"
	partial=$stage
	tar -x -p -f "$tar" -C "$stage" && is_file "$stage/imgbuild-snapshot" ||
		fail "$1 is no snapshot or not all of one, or there is no room for it"
	read -r _ snapshot time <"$stage/imgbuild-snapshot"
	snapshot=${2:-$snapshot}
	valid_name "$snapshot"
	case $time in '' | *[!0-9]*) time=0 ;; esac
	take_lock overlays 60
	show_root
	found='' imported=
	each_overlay import_overlay
	failed=$?
	[ "$found" ] || fail "none of these overlays is in it"
	[ ! "$imported" ] || echo "Imported as $snapshot, for$imported. Go back to it: overlayctl restore $snapshot"
	return $failed
}

# is_file PATH: whether it is a regular file. Others, such as a pipe, may come out of a tar too.
is_file() {
	[ -f "$1" ] && [ ! -L "$1" ]
}

import_overlay() {
	is_folder "$stage/$name" && is_folder "$stage/$name/files" || return 0
	found=yes
	if [ -e "$stage/$name/deleted" ] || [ -L "$stage/$name/deleted" ]; then
		is_file "$stage/$name/deleted" || {
			say "$path: the list of deleted files is no file"
			return 1
		}
	fi
	if ! read_state "$base/$name"; then
		say "$path has no sound state; see overlayctl status"
		return 1
	fi
	if expected "$snapshot"; then
		say "$path has a snapshot $snapshot already${asked:+ to be taken at the next boot}; overlayctl import FILE NAME gives this one another name"
		return 1
	fi
	generation
	root_folder
	mkdir "$folder/work$suffix" && mv "$stage/$name/files" "$folder/upper$suffix" && delete_listed || {
		leave_root_folder
		import_failed
		return
	}
	leave_root_folder
	rm -rf "$folder/work$suffix"
	layers="layer upper$suffix - $time $snapshot$newline$layers"
	if ! write_state; then
		import_failed
		return
	fi
	imported="$imported $path"
	made_over
	[ ! "$made_over" ] || [ "$made_over" = "$id" ] ||
		say "note: $path: the snapshot was made over another root than this one; overlayctl diff tells what it hides once it is restored"
}

# import_failed: removes what has been made, unless nobody knows whether the state has it; false.
import_failed() {
	say "$path: the import failed, perhaps for want of room"
	! read_state "$folder" || remove_garbage
	return 1
}

# made_over: sets made_over to the identity of the root that the overlay's snapshot was made over; to nothing where the tar does not say.
made_over() {
	made_over=
	while read -r told told_name told_id _; do
		[ "$told $told_name" != "overlay $name" ] || made_over=$told_id
	done <"$stage/imgbuild-snapshot"
}

# delete_listed: deletes in an overlay of the new layer over the root, so that the kernel makes the whiteouts. Nothing that a symlink,
# which may be the layer's, leads to.
delete_listed() {
	[ -e "$stage/$name/deleted" ] || return 0
	mkdir -p "$own/import" &&
		lay "lowerdir=$under,upperdir=$folder/upper$suffix,workdir=$folder/work$suffix" "$own/import" || return
	failed=0
	while IFS= read -r file; do
		case /$file/ in
		*/../* | //) continue ;;
		esac
		reaches "$own/import" "$file" || continue
		rm -rf "$own/import/$file" || failed=1
	done <"$stage/$name/deleted"
	umount "$own/import"
	return $failed
}
