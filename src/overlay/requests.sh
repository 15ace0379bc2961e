# What is to be done to the overlays before they are mounted: reset, snapshot, restore, delete, merge. Sourced by preinit.sh
# when there is something; below mounted overlays none of it can be done, since programs would go on writing into frozen layers.
#
# Asked for by
#     the file request on UserData, which overlayctl writes; one line each
#         id REQUEST                     none is carried out twice
#         keep -                         the resets after it carry nothing over
#         keep PATTERN                   and such files; without any keep, those of preinit.conf
#         reset NAME
#         snapshot NAME TIME SNAPSHOT
#         restore NAME SNAPSHOT
#         delete NAME SNAPSHOT
#         merge NAME [SNAPSHOT]
#     the file factory-reset on UserData; empty, or a wish a line, which may be one name or path
#     the kernel argument imgbuild.reset[=WISH], with imgbuild.nokeep apart or in the wish
#     the kernel argument imgbuild.resetonce=WISH[:TOKEN], which our boot script makes of a saved variable: what the file
#     reset-once on the internal UserData says too has been done
#
# A wish is names and paths with commas between them, or all. With imgbuild.nokeep among them, nothing is carried over of those that it names;
# that alone is all. In the file a line imgbuild.nokeep is of the whole file.
#
# Arguments may be for this boot only: where there is room they become the file factory-reset first, so that a reset which is cut
# off goes on at the next boot without them.
#
# Each line is carried out by one write_state, which notes the line as done: after a cut it is done or is begun anew. What
# cannot be done is said, and changes nothing; the request is gone after one pass in any case, so that no boot is caught in it.
# Deleting and merging are the note of which layers are going. What that means, the moving of files, comes after it, and is gone on with
# at each boot until it is done.

# shellcheck source=src/overlay/reset.sh
. "$library/reset.sh"

# carry_out: everything that is asked for. Sets made to the names of the overlays that have a new topmost layer.
carry_out() {
	# shellcheck source=src/overlay/layers.sh
	. "$library/layers.sh"
	request=
	if [ "$resets" ]; then
		if write_wish "$resets"; then
			[ ! "$once" ] || ! note_once || once=
		else
			reset_each "$resets"
		fi
		# A full UserData has room by now.
		[ ! "$once" ] || note_once || not_done "that $once has been reset cannot be noted; it is reset at the next boot again"
	fi
	if [ -e "$mount/factory-reset" ]; then
		read_flag "$mount/factory-reset"
		reset_each "$wanted"
		# A folder of that name must not be a reset at every boot.
		rm -rf "$mount/factory-reset"
	fi
	if [ -e "$mount/request" ]; then
		read_keeps
		carry_out_file "$mount/request"
		rm -f "$mount/request"
	fi
	flush "$mount"
}

carry_out_file() {
	line=0
	while read -r action words <&3; do
		line=$((line + 1))
		case $action in
		id) request=$words ;;
		keep)
			[ "$words" = - ] && keeps='' || keeps="$keeps$words$newline"
			;;
		reset | snapshot | restore | delete | merge)
			# shellcheck disable=SC2086 # the words of a request have no blanks
			perform "$action" $words
			;;
		*) not_done "the request has a line that is not understood: $action" ;;
		esac
	done 3<"$1"
}

# read_flag FILE: sets wanted to its wishes, each with a line feed; to all, where there are none. It may be from an editor that
# ends lines as Windows does, or the last one not at all.
read_flag() {
	wanted='' names='' no_keep=
	return_key=$(printf '\r')
	while read -r wish || [ "$wish" ]; do
		wish=${wish%"$return_key"}
		case $wish in
		'') ;;
		imgbuild.nokeep) no_keep=,$wish ;;
		*)
			wanted=$wanted$wish$newline
			names=${names:+$names,}$wish
			;;
		esac
	done <"$1"
	if [ "$no_keep" ] || [ ! "$wanted" ]; then
		wanted=${names:-all}$no_keep$newline
	fi
}

# write_wish WISHES: adds them to what the file factory-reset on UserData asks for, which former is set to; false where there is no room.
write_wish() {
	wanted=
	[ ! -e "$mount/factory-reset" ] || read_flag "$mount/factory-reset"
	former=$wanted
	while read -r wish; do
		[ "$wish" != imgbuild.nokeep ] || wish=all,$wish
		case $newline$wanted in
		*"$newline$wish$newline"*) ;;
		*) wanted=$wanted${wish:+$wish$newline} ;;
		esac
	done <<-END
		$1
	END
	[ "$wanted" = "$former" ] || put_file "$mount/factory-reset" "$wanted"
}

# note_once: the value of imgbuild.resetonce is not done a second time.
note_once() {
	put_file "$once_folder/reset-once" "$once$newline"
}

# put_file FILE TEXT: makes that file, whole or not at all.
put_file() {
	printf %s "$2" >"$1+new" && flush "$1+new" && mv -f "$1+new" "$1" && flush "$1" && return
	rm -f "$1+new"
	return 1
}

# reset_each WISHES
reset_each() {
	while read -r wish <&4; do
		reset_wish "$wish"
	done 4<<-END
		$1
	END
}

reset_wish() {
	read_keeps
	case ,$1, in
	*,imgbuild.nokeep,*) keeps= ;;
	esac
	case ,$1, in
	*,all,* | ,imgbuild.nokeep,)
		while read -r key which _ <&4; do
			[ "$key" = overlay ] && perform reset "$which"
		done 4<"$config"
		return
		;;
	esac
	which_rest=$1,
	while [ "$which_rest" ]; do
		which=${which_rest%%,*}
		which_rest=${which_rest#*,}
		case $which in
		'' | imgbuild.nokeep) ;;
		*) perform reset "$which" ;;
		esac
	done
}

# perform ACTION WHICH [WORD]...: one line. What failed leaves the old state, the one before, and nothing beside them.
perform() {
	action=$1
	if ! find_overlay "$2"; then
		not_done "there is no overlay $2: no $action"
		return
	fi
	shift 2
	[ ! -e "$base/$name/resetting" ] || finish_reset "$base/$name" || return
	if [ -e "$base/$name/before" ]; then
		# shellcheck source=src/overlay/before.sh
		. "$library/before.sh" && settle_before "$base/$name" || return
	fi
	if read_state "$base/$name"; then
		# Left by a cut; it may be what takes the room for what is asked for.
		remove_garbage
	else
		# A reset mends a damaged state. Without any there is nothing to be done: a new one is about to be made.
		[ "$action" = reset ] && [ "$damaged" ] || return
		top=-
	fi
	if [ "$request" ] && [ "${finished% *}" = "$request" ] && [ "${finished#* }" -ge "$line" ]; then
		# What comes right after its being done may have been cut off.
		[ "${finished#* }" != "$line" ] || forget_before
		return
	fi
	if [ "$action" != reset ] && [ "$root" != "$id" ] && [ "$policy" != keep ]; then
		# shellcheck source=/dev/null # shellcheck looks at it from preinit.sh
		. "$library/root-change.sh"
		change_root_first || {
			not_done "$path: no $action${1:+ (${*})}: ${refusal:-it was asked for over another root}"
			return
		}
	fi
	[ ! "$request" ] || finished="$request $line"
	refusal=
	if "do_$action" "$@"; then
		forget_before
		[ ! "$going" ] || fold_going
		remove_garbage
		return
	fi
	not_done "$path: no $action${1:+ (${*})}: ${refusal:-it failed, perhaps for want of room}; it stays as it is"
	read_state "$folder" && remove_garbage
}

# forget_before: a reset that has been done leaves nothing that could come back.
forget_before() {
	[ "$action" != reset ] || [ ! -e "$folder/before" ] || rm -rf "$folder/before"
}

# do_snapshot TIME NAME: the topmost layer is frozen under that name, with a new one above it.
do_snapshot() {
	if named "$2"; then
		refusal="there is one of that name"
		return 1
	fi
	layers="layer $top $parent $1 $2$newline$layers"
	if ! mountable "$top"; then
		refusal="there are too many layers; delete some, or merge them"
		return 1
	fi
	status=ready
	new_top "$top" && write_state
}

# do_restore NAME: a new topmost layer over that of a snapshot, or over the factory's.
do_restore() {
	if ! named "$1"; then
		refusal="there is none"
		return 1
	fi
	status=ready root=$id
	new_top "$layer_folder" && keep_manifest && drop_childless && write_state
}

# do_delete NAME: a snapshot that something was written over is given to that.
do_delete() {
	if ! named "$1" || [ "$1" = factory ]; then
		refusal="there is none"
		return 1
	fi
	given_up=$layer_folder
	children "$given_up"
	case $count in
	0) drop_layer "$given_up" && drop_childless ;;
	1) give_up ;;
	*)
		refusal="more than one of the snapshots and the present state are over it"
		return 1
		;;
	esac
	write_state
}

# do_merge [NAME]: gives the layers below the topmost one, or below that snapshot, to it; not the factory's, nor one that
# others are over.
do_merge() {
	below=$parent
	if [ $# = 1 ]; then
		if ! named "$1"; then
			refusal="there is no such snapshot"
			return 1
		fi
		below=$layer_parent
	fi
	if ! stack "$below"; then
		refusal="its layers are damaged"
		return 1
	fi
	while layer "$below" && [ "$layer_name" != factory ]; do
		given_up=$below
		below=$layer_parent
		children "$given_up"
		[ "$count" = 1 ] || break
		is_going "$given_up" || give_up
	done
	write_state
}

# give_up: notes that the layer given_up is going, to child. The topmost layer counts from then on, whatever becomes of its first boot: it is
# no longer what can be made anew.
give_up() {
	going="$going $given_up"
	[ "$child" != "$top" ] || status=ready
}

# drop_childless: drops those of the layers that are going that nothing is over.
drop_childless() {
	for given_up in $going; do
		children "$given_up"
		if [ "$count" = 0 ]; then
			drop_layer "$given_up"
			drop_childless
			return
		fi
	done
}

# fold_going: moves what the layers that are going hold into the ones above them. Each step is right by itself, so that the order does not
# matter, nor how far an earlier boot got. What does not succeed is tried at the next boot again.
fold_going() {
	case $stuck in
	*" $name "*) return ;;
	esac
	drop_childless
	while [ "$going" ]; do
		given_up=${going##* }
		children "$given_up"
		if [ "$count" != 1 ]; then
			# Somebody else's doing: scripts that do not know of layers that are going.
			stays "$given_up"
			continue
		fi
		into=$child
		# That of a layer which had gone to another one that has gone to the topmost one since.
		{ [ "$into" != "$top" ] || [ "$status" = ready ] || { status=ready && write_state; }; } &&
			fold "$folder/$into" "$folder/$given_up" && drop_layer "$given_up" && write_state && continue
		stuck="$stuck $name "
		not_done "$path: a snapshot that was deleted or merged cannot be moved into what is above it, perhaps for want of room; nothing changes in what is seen, and the next boot tries it again"
		read_state "$folder"
		return
	done
}
