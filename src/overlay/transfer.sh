# Snapshots as tar files: overlayctl export and import. Sourced by overlayctl.sh.
#
#     imgbuild-snapshot      "snapshot NAME TIME", and for each overlay "overlay NAME ID PATH" with the root's identity; it is the
#                            last one, so that a tar that was cut short has none
#     NAME/files/            what the layers hold, as it is seen through all of them
#     NAME/deleted           what of the root is not seen, a path a line
#
# No whiteouts and no xattrs of overlayfs are in it: tar may lose them, and what is deleted is told by name. Import has the
# kernel make whiteouts of that.

# shellcheck source=src/overlay/report.sh
. "$library/report.sh"
features

# export_snapshot NAME [FILE]
export_snapshot() {
	snapshot=$1
	[ "$1" = factory ] || valid_name "$1"
	need_userdata
	take_lock overlays 10
	stage=$run/export
	rm -rf "$stage" && mkdir -m 700 "$stage" && mkdir -p "$run/empty" && show_root || fail "the root cannot be looked at"
	staged=
	each_overlay stage_overlay
	failed=$?
	if [ ! "$lines" ]; then
		failed=1
		say "there is no snapshot $snapshot"
	fi
	if [ $failed = 0 ]; then
		printf 'snapshot %s %s\n%s' "$snapshot" "$time" "$lines" >"$stage/imgbuild-snapshot"
		write_tar "$2"
		failed=$?
	fi
	each_overlay unstage_overlay
	umount "$rom"
	rm -rf "$stage"
	return $failed
}

# write_tar [FILE]: the file appears when it is whole, and is root's alone: passwords may be in it. None, or -, is the standard
# output.
write_tar() {
	umask 077
	# shellcheck disable=SC2086 # names of overlays have no blanks
	case ${1:--} in
	-) tar -c -f - -C "$stage" $staged ./imgbuild-snapshot && return ;;
	*)
		tar -c -f "$1+new" -C "$stage" $staged ./imgbuild-snapshot && sync && mv -f -- "$1+new" "$1" && sync && return
		rm -f -- "$1+new"
		;;
	esac
	say "the snapshot cannot be written to ${1:-the standard output}"
	return 1
}

stage_overlay() {
	read_state "$base/$name" && named "$snapshot" || return 0
	time=$layer_time
	stack "$layer_folder" || return
	root_folder
	mkdir "$stage/$name" && look_through "$stage/$name/files" "$lowers$run/empty" || return
	look_through "$run/seen" "$lowers$under" || return
	seen=$run/seen
	stacked=$lowers
	compare "" | while read -r kind file; do
		[ "$kind" != D ] || echo "$file"
	done >"$stage/$name/deleted"
	umount "$seen"
	leave_root_folder
	lines="${lines}overlay $name $id $path$newline"
	staged="$staged ./$name"
}

unstage_overlay() {
	! mounted "$stage/$name/files" || umount "$stage/$name/files"
}

# import_snapshot FILE [NAME]
import_snapshot() {
	[ "$1" ] || usage "import needs a file"
	stage=$mount/import+new
	rm -rf "$stage" && mkdir -m 700 "$stage" || fail "there is no room on UserData"
	tar -x -p -f "$1" -C "$stage" && [ -e "$stage/imgbuild-snapshot" ] || {
		rm -rf "$stage"
		fail "$1 is no snapshot or not all of one, or there is no room for it"
	}
	read -r _ snapshot time <"$stage/imgbuild-snapshot"
	snapshot=${2:-$snapshot}
	valid_name "$snapshot"
	case $time in '' | *[!0-9]*) time=0 ;; esac
	show_root || fail "the root cannot be looked at"
	each_overlay import_overlay
	failed=$?
	umount "$rom"
	rm -rf "$stage"
	[ "$lines" ] || fail "none of these overlays is in it"
	return $failed
}

import_overlay() {
	is_folder "$stage/$name" && is_folder "$stage/$name/files" || return 0
	lines=$lines$name
	if ! read_state "$base/$name"; then
		say "$path has no sound state; see overlayctl status"
		return 1
	fi
	if named "$snapshot"; then
		say "$path has a snapshot $snapshot already; overlayctl import FILE NAME gives this one another name"
		return 1
	fi
	generation
	root_folder
	mkdir "$folder/work$suffix" && mv "$stage/$name/files" "$folder/upper$suffix" && delete_listed || {
		leave_root_folder
		rm -rf "$folder/upper$suffix" "$folder/work$suffix"
		say "$path: the import failed, perhaps for want of room"
		return 1
	}
	leave_root_folder
	rm -rf "$folder/work$suffix"
	layers="layer upper$suffix - $time $snapshot$newline$layers"
	write_state
}

# delete_listed: deletes in an overlay of the new layer over the root, so that the kernel makes the whiteouts. Nothing that a symlink,
# which may be the layer's, leads to.
delete_listed() {
	mkdir -p "$run/import" &&
		lay "lowerdir=$under,upperdir=$folder/upper$suffix,workdir=$folder/work$suffix" "$run/import" || return
	failed=0
	while read -r file; do
		case /$file/ in
		*/../* | //) continue ;;
		esac
		reaches "$run/import" "$file" || continue
		rm -rf "$run/import/$file" || failed=1
	done <"$stage/$name/deleted"
	umount "$run/import"
	return $failed
}
