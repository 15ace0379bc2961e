# The state of one overlay: the folder overlay/NAME on UserData. Sourced by preinit.sh and overlayctl.sh, which set name, id and
# path to those of the overlay that is worked on, and first and policy, all as preinit.conf has them.
#
#     state              which of the folders beside it are the overlay's layers; see below
#     upper, upper.N     a layer; the topmost is overlayfs's upperdir, the others are frozen
#     work, work.N       overlayfs's workdir, beside the topmost layer
#     pending, pending.N an empty file beside a topmost layer whose first boot has not completed: see note_ready
#     factory            an empty file: upper is what the image was built with, whatever has become of state
#     manifest.ID        what the root of that identity has below the path; see root-change.sh
#     shadowing          files that hide what a new root changed; see root-change.sh
#     resetting          the state that a reset began with which had no room for a new one, or a folder for want of it; see reset.sh
#     ...+new, ...+work  what was being made of these, or moved in them, when the power failed
#     before             the state over the root that is fallen back to while another is on trial; see before.sh
#
# state, one setting a line; others are kept:
#     state STATUS                   ready; or pending, as long as the first boot over the topmost layer has not completed, and
#                                    "pending again" when that is the second attempt; without the file pending.N these mean ready
#     root ID                        identity of the root that the topmost layer was made over; - is unknown
#     top FOLDER PARENT              the topmost layer, and the layer below it; - is the root
#     layer FOLDER PARENT TIME NAME  a frozen layer; TIME in seconds since 1970
#     going FOLDER...                frozen layers which have been given up: what they hold is moved into the ones right above them
#     done REQUEST NUMBER            the last line of a request that has been carried out; see requests.sh
#     end
#
# Layers have the names of snapshots, but for "factory", what the image was built with, and "+kept", what the last reset
# carried over. They are a tree: after a restore there are layers that are not below the topmost one.
#
# All that is new is made first; then one rename, of state, makes it count; then what no state names is removed, and what is in layers
# that are going is moved. So a power cut, a full disk or an I/O error leaves either state whole. What is seen through a layer that is going
# and the one above it together never changes, but it cannot be gone back to, and its name is free. A folder without a state file is from a
# time before there were any: upper is its only layer. Where there is more, the file has been lost, and nobody knows what the layers are.

newline='
'
# Folders of overlays with blanks around each: see write_state.
unsure=

# read_state FOLDER: sets folder, status, root, top, parent, layers, going, finished and more. False where there is none, or one that
# cannot be used; damaged says what is wrong with that.
read_state() {
	folder=$1
	damaged=
	if [ -e "$folder/state" ]; then
		read_state_file "$folder/state" || damaged="is damaged"
	else
		no_state
		for entry in "$folder"/upper.[0-9]* "$folder"/work.[0-9]* "$folder/factory"; do
			foreign "${entry##*/}" || [ ! -e "$entry" ] || damaged="is lost"
		done
		[ "$damaged" ] || [ -d "$folder/upper" ] || return
	fi
	[ "$damaged" ] || return 0
	known_factory
	return 1
}

# foreign ENTRY: whether it is somebody's own, upper.bak say. Ours have nothing but digits behind a dot.
foreign() {
	case $1 in
	*.*[!0-9]* | *.) return 0 ;;
	esac
	return 1
}

# known_factory: has the factory layer be among the layers of a state that cannot be used, for a reset to keep it.
known_factory() {
	named factory || [ ! -e "$folder/factory" ] || layers="layer upper - 0 factory$newline"
}

no_state() {
	status=ready root=- top=upper parent=- layers='' going='' finished='' more=''
}

read_state_file() {
	no_state
	complete=
	while read -r key value; do
		case $key in
		state) status=$value ;;
		root) root=$value ;;
		top) top=${value% *} parent=${value#* } ;;
		layer) layers="${layers}layer $value$newline" ;;
		going) going="$going${value:+ $value}" ;;
		done) finished=$value ;;
		end) complete=yes ;;
		*) more="$more$key $value$newline" ;;
		esac
	done <"$1"
	[ -e "$folder/pending${top#upper}" ] || status=ready
	[ "$complete" ]
}

# flush PATH: writes out the file system that it is on; false when the medium fails. So it is with coreutils and with a busybox that
# has FEATURE_SYNC_FANCY; others write out all there are, and tell nothing, because sync(2) does not.
flush() {
	sync -f "$1" 2>/dev/null
}

# write_state: makes what is in these variables the overlay's state. Content first: the rename must not be on the disk before it.
# Where nobody knows whether the rename is on the disk, nothing that either state names may be removed.
write_state() {
	printf 'state %s\nroot %s\ntop %s %s\n%s%s%s%send\n' "$status" "$root" "$top" "$parent" "$layers" \
		"${going:+going$going$newline}" "${finished:+done $finished$newline}" "$more" >"$folder/state+new" &&
		flush "$folder" &&
		mv -f "$folder/state+new" "$folder/state" || return
	flush "$folder" && return
	unsure="$unsure $folder "
	return 1
}

# note_ready: notes that the first boot over the topmost layer has completed. A full UserData has no room for another state; that a file
# is gone needs none.
note_ready() {
	status=ready
	write_state || rm -f "$folder/state+new"
	rm -f "$folder/pending${top#upper}" && flush "$folder"
}

# layer FOLDER: sets layer_parent, layer_time and layer_name of a frozen layer; false when there is none of that folder.
layer() {
	while read -r _ layer_folder layer_parent layer_time layer_name; do
		[ "$layer_folder" = "$1" ] && return
	done <<-END
		$layers
	END
	return 1
}

# named NAME: the same for the layer of a name; sets layer_folder too. None that is going.
named() {
	while read -r _ layer_folder layer_parent layer_time layer_name; do
		[ "$layer_name" = "$1" ] && ! is_going "$layer_folder" && return
	done <<-END
		$layers
	END
	return 1
}

is_going() {
	case "$going " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# The kernel takes a page of options, with a zero byte at its end (copy_mount_options in fs/namespace.c).
most_options=4095

# stack FOLDER: sets lowers to the frozen layers from that one down, as overlayfs's lowerdir wants them, with a colon behind
# each. A chain without an end comes to an end where no kernel takes it.
stack() {
	lowers=
	next=$1
	while [ "$next" != - ]; do
		layer "$next" && [ ${#lowers} -lt "$most_options" ] || return 1
		lowers=$lowers$folder/$next:
		next=$layer_parent
	done
}

# overlay_options TOP WORK: sets overlay_options to mount's for the overlay of path, over lowers and layered.
overlay_options() {
	overlay_options=noatime,lowerdir=$lowers$layered$path,upperdir=$folder/$1,workdir=$folder/$2
}

# mountable FOLDER: whether the kernel would take a topmost layer over that one, with all layers from elsewhere that the path has, be
# they there or not. What comes later may have a longer number.
mountable() {
	stack "$1" || return
	layered=
	while read -r layer_key layer_number layer_overlay _; do
		[ "$layer_key" != layer ] || [ "$layer_overlay" != "$name" ] || layered=$run/layers/$layer_number:$layered
	done <"$config"
	overlay_options upper.000000 work.000000
	layered=
	[ $((${#overlay_options} + ${#options})) -le "$most_options" ]
}

# generation: sets suffix to what no layer's folder ends with yet: nothing for the first, then .1, .2, ...
generation() {
	suffix=
	number=0
	for entry in "$folder"/upper* "$folder"/work*; do
		[ -e "$entry" ] || continue
		entry=${entry##*/}
		case ${entry#*.} in
		*[!0-9]* | 0?*) ;;
		*) [ "${entry#*.}" -ge "$number" ] && number=${entry#*.} ;;
		esac
		suffix=.$((number + 1))
	done
}

# folder_like MODEL FOLDER: makes a folder with owner and mode of another. Layers need it: their own hide those of the folder
# below.
folder_like() {
	model=$(stat -c '%a %u:%g' "$1") && mkdir -m "${model% *}" "$2" && chown "${model#* }" "$2"
}

# new_layer PARENT: makes the folder of a layer over PARENT, and sets suffix.
new_layer() {
	generation
	if [ "$1" = - ]; then
		folder_like "$path" "$folder/upper$suffix"
	else
		folder_like "$folder/$1" "$folder/upper$suffix"
	fi
}

# new_top PARENT: makes an empty topmost layer of that status, and sets top and parent. write_state makes it count.
new_top() {
	new_layer "$1" && mkdir "$folder/work$suffix" &&
		{ [ "$status" = ready ] || true >"$folder/pending$suffix"; } && top=upper$suffix parent=$1
}

# set_aside FOLDER: renames what is in a state folder's place and is none. Nothing here makes one: it is somebody's own.
set_aside() {
	[ -e "$1" ] || [ -L "$1" ] || return 0
	number=1
	while [ -e "$1+lost$number" ] || [ -L "$1+lost$number" ]; do number=$((number + 1)); done
	say "$1 is no overlay's state; it becomes ${1##*/}+lost$number"
	mv "$1" "$1+lost$number"
}

# create FOLDER: makes an overlay's state, under another name until it is whole. The folder around it is root's alone: layers are
# not below the folders that may keep others out, and frozen ones must not be written to.
# shellcheck disable=SC2154 # first is of preinit.sh, which alone creates any
create() {
	rm -rf "$1+new"
	[ -d "${1%/*}" ] || mkdir -m 700 "${1%/*}" || return
	set_aside "$1" && mkdir "$1+new" || return
	no_state
	folder=$1+new status=$first root=$id
	new_top - && keep_manifest && write_state && mv "$1+new" "$1" && flush "${1%/*}" && folder=$1
}

# keep_manifest: keeps what the present root has below the overlay, where a next root's files are to be compared with it.
keep_manifest() {
	[ -e "$folder/manifest.$root" ] || make_manifest
}

make_manifest() {
	[ "$policy" = refresh ] && [ -e "$library/manifest/$name" ] || return 0
	put_manifest "$library/manifest/$name" "$root"
}

# put_manifest FILE ID: makes manifest.ID, whole or not at all.
put_manifest() {
	cp "$1" "$folder/manifest.$2+new" && flush "$folder" && mv -f "$folder/manifest.$2+new" "$folder/manifest.$2"
}

# remove_garbage: removes what the state does not name: what was there before it, or what should have come after it.
remove_garbage() {
	case $unsure in
	*" $folder "*) return ;;
	esac
	for entry in "$folder"/*; do
		entry=${entry##*/}
		case $entry in
		state+new | before+new | upper+work | upper.[0-9]*+work) false ;;
		# That of the present root may be of a refresh which was cut.
		manifest.*) [ "$entry" = "manifest.$root" ] || [ "$entry" = "manifest.$id" ] || of_before "$entry" ;;
		upper | upper.*) foreign "$entry" || [ "$entry" = "$top" ] || layer "$entry" || of_before "$entry" ;;
		work | work.*) foreign "$entry" || [ "$entry" = "work${top#upper}" ] ;;
		pending | pending.*) foreign "$entry" || [ "$entry" = "pending${top#upper}" ] || of_before "upper${entry#pending}" ;;
		esac || rm -rf "${folder:?}/$entry"
	done
}

# of_before ENTRY: whether that is a layer or a manifest of the state before.
of_before() {
	[ -f "$folder/before" ] || return
	while read -r key value _; do
		case "$key $value" in
		"top $1" | "layer $1" | "root ${1#manifest.}") return ;;
		esac
	done <"$folder/before"
	return 1
}

# children FOLDER: sets count to the number of layers right above one, and child to the last of them.
children() {
	count=0
	child=
	while read -r _ layer_folder layer_parent layer_time layer_name; do
		[ "$layer_parent" = "$1" ] && count=$((count + 1)) child=$layer_folder
	done <<-END
		$layers
	END
	[ "$parent" != "$1" ] || count=$((count + 1)) child=$top
}

# stays FOLDER: has a layer be none of those that are going.
stays() {
	still=
	for one in $going; do
		[ "$one" = "$1" ] || still="$still $one"
	done
	going=$still
}

# drop_layer FOLDER: takes a layer out of layers; those above it are above its parent then.
drop_layer() {
	stays "$1"
	layer "$1" || return
	below=$layer_parent
	kept_layers=
	while read -r _ layer_folder layer_parent layer_time layer_name; do
		[ "$layer_parent" = "$1" ] && layer_parent=$below
		case $layer_folder in '' | "$1") continue ;; esac
		kept_layers="${kept_layers}layer $layer_folder $layer_parent $layer_time $layer_name$newline"
	done <<-END
		$layers
	END
	layers=$kept_layers
	[ "$parent" != "$1" ] || parent=$below
}

# find_overlay WHICH: sets name, id and path of an overlay, by its name or its path, which may have a slash at its end.
find_overlay() {
	while read -r key name id path; do
		[ "$key" = overlay ] && case $1 in "$name" | "$path" | "${path%/}/") return ;; esac
	done <"$config"
	return 1
}
