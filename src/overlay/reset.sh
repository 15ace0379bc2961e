# The factory reset of one overlay, and what it carries over. Sourced by preinit.sh for one that was interrupted, by requests.sh and
# root-change.sh. Sets made to the names of the overlays that have a new topmost layer.

# read_keeps: sets keeps to the patterns of preinit.conf, one a line.
read_keeps() {
	keeps=
	while read -r key value; do
		[ "$key" = keep ] && keeps="$keeps$value$newline"
	done <"$config"
}

# factory_alone: sets base_layers to the layer that the image was built with, where there is one, and below to that or to -.
factory_alone() {
	base_layers=
	below=-
	if named factory; then
		below=$layer_folder
		base_layers="layer $below - $layer_time factory$newline"
	fi
}

# do_reset [before]: with that word, what the file before names is not given up for room.
do_reset() {
	factory_alone
	kept=
	[ ! "$keeps" ] || [ "$top" = - ] || keep_files || {
		refusal="what is to be kept cannot be copied, perhaps for want of room; overlayctl reset --no-keep gives it up, or imgbuild.reset with imgbuild.nokeep"
		return 1
	}
	if [ "$kept" ]; then
		base_layers="${base_layers}layer $kept $below 0 +kept$newline"
		below=$kept
	fi
	old_layers=$layers
	layers=$base_layers
	status=$first root=$id going=
	if new_top "$below" && keep_manifest && write_state; then
		# Not before: a reset that is refused changes nothing.
		[ "$kept" ] || forget_edits
		made="$made $name "
		return
	fi
	# Where nothing has to be carried over, or to come back, a full UserData can be emptied before something new is made.
	layers=$old_layers
	[ ! "$kept" ] && [ ! "$1" ] && begin_resetting && finish_reset "$folder"
}

# begin_resetting: renames the state to resetting, or, where it is lost, something else of what goes: that takes no room, and no inode.
begin_resetting() {
	for was in "$folder/state" "$folder/work" "$folder"/work.* "$folder/upper" "$folder"/upper.*; do
		[ -e "$was" ] && [ "${was##*/}" != "$below" ] && ! foreign "${was##*/}" || continue
		mv -f "$was" "$folder/resetting" || return
		flush "$folder" && return
		mv -f "$folder/resetting" "$was"
		return 1
	done
	return 1
}

# forget_edits: where nothing of what somebody edited is left, nothing hides what the root has.
forget_edits() {
	rm -f "$folder/shadowing" && make_manifest
}

# finish_reset FOLDER: removes all but the factory layer, and then makes the new state. The name "resetting" is what commits it.
finish_reset() {
	folder=$1
	read_state_file "$folder/resetting" || known_factory
	factory_alone
	layers=$base_layers
	top=- root=- going=
	[ ! -e "$folder/before" ] || rm -rf "$folder/before"
	[ ! -d "$folder/resetting" ] || rm -rf "$folder/resetting"/* "$folder/resetting"/.[!.]* "$folder/resetting"/..?*
	remove_garbage
	status=$first root=$id
	new_top "$below" && forget_edits && write_state && rm -rf "$folder/resetting" && made="$made $name "
}

# keep_files: copies what keeps names, of what was written, into a layer of its own; sets kept to it where there was any. Its
# own layer, because the topmost one is made anew should the first boot after the reset not complete. For the same reason there is nothing
# to be kept in the topmost one of now when its first boot has not completed; but whoever called overlayctl saw it, and means it.
keep_files() {
	view=$run/kept-view
	written=$folder/$top:
	[ "$status" = ready ] || [ "$request" ] || written=
	stack "$parent" || return
	[ "$written$lowers" ] || return 0
	mkdir -p "$run/empty" && look_through "$view" "$written$lowers$run/empty" || return
	copy_kept
	failed=$?
	umount "$view"
	return $failed
}

# copy_kept: for each pattern what it matches in view; the shell expands it. Some shells have .* match . and .., which nobody means.
copy_kept() {
	while read -r pattern <&3; do
		within_overlay || continue
		hidden=
		[ "$pattern" ] || pattern='*' hidden='./.*'
		cd "$view" || return
		IFS=
		for file in ./$pattern $hidden; do
			case $file/ in
			*/./* | */../*) continue ;;
			esac
			! exists "$file" || copy_file "${file#./}" || {
				unset IFS
				cd / && return 1
			}
		done
		unset IFS
		cd /
	done 3<<-END
		$keeps
	END
}

# within_overlay: takes what leads to the overlay off the pattern, and slashes at its end; false where it leads elsewhere. Nothing is left of
# one that names the overlay's own folder, or one above it: that is all there is in the overlay.
within_overlay() {
	case $pattern in
	/*) pattern=$pattern/ ;;
	*) return 1 ;;
	esac
	way=${path#/}
	way=${way:+$way/}
	while pattern=${pattern#"${pattern%%[!/]*}"} && [ "$way" ] && [ "$pattern" ]; do
		# shellcheck disable=SC2254 # it is a pattern
		case ${way%%/*} in
		${pattern%%/*}) ;;
		*) return 1 ;;
		esac
		way=${way#*/}
		pattern=${pattern#*/}
	done
	pattern=${pattern%"${pattern##*[!/]}"}
}

# copy_file FILE: copies it with its folders. Not through symlinks, which may lead out of the overlay.
copy_file() {
	if [ ! "$kept" ]; then
		new_layer "$below" || return
		kept=upper$suffix
	fi
	rest=$1
	done=
	while [ "${rest#*/}" != "$rest" ]; do
		done=$done${rest%%/*}
		rest=${rest#*/}
		[ ! -L "$view/$done" ] || return 0
		[ -d "$folder/$kept/$done" ] || folder_like "$view/$done" "$folder/$kept/$done" || return
		done=$done/
	done
	cp -a "$view/$1" "$folder/$kept/$done"
}
