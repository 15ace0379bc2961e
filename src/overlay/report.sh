# What overlayctl prints: status, for people and as JSON, and diff. Sourced by overlayctl.sh, and by transfer.sh for compare.

# shellcheck source=src/overlay/layers.sh
. "$library/layers.sh"
# shellcheck source=src/overlay/storages.sh
. "$library/storages.sh"

# show_root: sets rom to where the root is seen without what is mounted in it. Whatever this mounts goes with clean_up at the latest.
show_root() {
	work_folder
	rom=$own/rom
	mkdir "$rom" && mount --bind / "$rom" || fail "the root cannot be looked at"
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

# count_changes: sets added, changed and deleted.
count_changes() {
	added=0 changed=0 deleted=0
	changes >"$own/changes"
	while read -r kind _; do
		case $kind in
		A) added=$((added + 1)) ;;
		M) changed=$((changed + 1)) ;;
		D) deleted=$((deleted + 1)) ;;
		esac
	done <"$own/changes"
}

# size_of FOLDER: sets size, in KiB.
size_of() {
	size=$(du -sk "$1")
	size=${size%%[!0-9]*}
}

# where_mounted: sets place to where what is written to the overlay goes.
where_mounted() {
	place=nowhere
	while read -r _ point _ how _; do
		[ "$point" = "$path" ] || continue
		case $how in
		*upperdir="$base/"*) place=userdata ;;
		*upperdir=*) place=memory ;;
		esac
	done </proc/mounts
}

# in_stack FOLDER: whether a layer is below the topmost one.
in_stack() {
	case :$lowers in
	*":$folder/$1:"*) return 0 ;;
	esac
	return 1
}

# each_layer COMMAND: calls it for the topmost layer, those below it, the others, and those that are going, with layer_folder,
# layer_parent, layer_time, layer_name and use set.
each_layer() {
	layer_folder=$top layer_parent=$parent layer_time=0 layer_name='' use=top
	"$1"
	for which in below other going; do
		while read -r _ layer_folder layer_parent layer_time layer_name; do
			[ "$layer_folder" ] || continue
			if is_going "$layer_folder"; then
				use=going
			elif in_stack "$layer_folder"; then
				use=below
			else
				use=other
			fi
			[ "$use" != "$which" ] || "$1"
		done <<-END
			$layers
		END
	done
}

report_status() {
	[ ! -d "$base" ] || show_root
	if [ "$json" ]; then
		json_status
	else
		plain_status
	fi
}

plain_status() {
	if mounted "$mount"; then
		df -kP "$mount" | {
			read -r _
			read -r mounted_from blocks used _
			echo "UserData: $mounted_from on $mount, $used of $blocks KiB used"
		}
	else
		echo "UserData: not mounted"
	fi
	! mounted "$run/internal" || echo "UserData is not the internal one, which is at $run/internal"
	while read -r reason; do
		echo "UserData does not fill its disk: $reason"
	done 2>/dev/null <"$run/not-grown"
	while read -r reason; do
		echo "Degraded: $reason"
	done 2>/dev/null <"$run/degraded"
	while read -r reason; do
		echo "Not done at this boot: $reason"
	done 2>/dev/null <"$run/refused"
	while read -r action words; do
		case $action in
		id | keep) ;;
		*) echo "At the next boot: $action $words" ;;
		esac
	done 2>/dev/null <"$mount/request"
	if [ -e "$run/slots" ]; then
		find_slots
		plain_slots
	fi
	each_overlay plain_overlay
	[ "$only" ] || each_layer_line plain_layer_line
	return 0
}

# each_layer_line COMMAND: calls it for the layers from elsewhere, with layer_number, layer_overlay and layer_from set.
each_layer_line() {
	while read -r layer_key layer_number layer_overlay layer_from <&3; do
		[ "$layer_key" != layer ] || "$1"
	done 3<"$config"
}

plain_layer_line() {
	while read -r key name _ path; do
		[ "$key" = layer ] || [ "$name" != "$layer_overlay" ] || break
	done <"$config"
	mounted "$run/layers/$layer_number" && missing='' || missing=", missing or broken"
	echo "Layer over the root for $path: $layer_from$missing"
}

json_layer_line() {
	mounted "$run/layers/$layer_number" && present=true || present=false
	printf '%s{"overlay":"%s","from":%s,"mounted":%s}' "$comma" "$layer_overlay" "$(text "$layer_from")" "$present"
	comma=,
}

plain_overlay() {
	where_mounted
	echo "$path"
	if ! read_state "$base/$name" || ! stack "$parent"; then
		echo "  in $place; there is no sound state on UserData"
		return
	fi
	echo "  in $place, $status"
	count_changes
	echo "  from the root differ: $added added, $changed changed, $deleted deleted"
	[ "$root" = "$id" ] || [ "$root" = - ] || echo "  begun over another root than this one"
	[ ! -e "$folder/before" ] || echo "  what was written over the root before is kept until this one is confirmed"
	while read -r file; do
		echo "  hides what the new root has: $file"
	done 2>/dev/null <"$folder/shadowing"
	each_layer plain_layer
}

plain_layer() {
	size_of "$folder/$layer_folder"
	what=$layer_name
	when=
	case $use$layer_name in
	top) what="what was written last" ;;
	*factory) what="what the image was built with" ;;
	*+kept) what="what the last reset carried over" ;;
	*) when="snapshot of $(date -d "@$layer_time" '+%Y-%m-%d %H:%M:%S'): " ;;
	esac
	case $use in
	other) when="not in use, $when" ;;
	going) when='' what="what is left of the deleted snapshot $layer_name, on its way into what is above it" ;;
	esac
	echo "  $size KiB  $when$what"
}

# text STRING: prints it as JSON. Control characters, which none but file names have, become question marks.
text() {
	case $1 in
	*[\"\\]* | *[!\ -~]*) printf '"%s"' "$(printf %s "$1" | sed 's/[\\"]/\\&/g' | tr '\001-\037\177' '?')" ;;
	*) printf '"%s"' "$1" ;;
	esac
}

# list FILE: prints its lines as a JSON array.
list() {
	separator=
	printf '['
	while read -r item; do
		printf %s "$separator"
		text "$item"
		separator=,
	done 2>/dev/null <"$1"
	printf ']'
}

json_status() {
	printf '{"userdata":'
	if mounted "$mount"; then
		df -kP "$mount" | {
			read -r _
			read -r mounted_from blocks used available _
			printf '{"device":%s,"size":%s,"used":%s,"available":%s}' "$(text "$mounted_from")" \
				$((blocks * 1024)) $((used * 1024)) $((available * 1024))
		}
	else
		printf null
	fi
	mounted "$run/internal" && present=true || present=false
	printf ',"otherStorage":%s,"notGrown":' "$present"
	list "$run/not-grown"
	printf ',"degraded":'
	list "$run/degraded"
	printf ',"notDone":'
	list "$run/refused"
	printf ',"requests":'
	list "$mount/request"
	printf ','
	if [ -e "$run/slots" ]; then
		find_slots
		json_slots
	fi
	printf '"overlays":['
	comma=
	each_overlay json_overlay
	printf '],"layers":['
	comma=
	each_layer_line json_layer_line
	printf ']}\n'
}

json_overlay() {
	where_mounted
	printf '%s{"name":"%s","path":%s,"in":"%s",' "$comma" "$name" "$(text "$path")" "$place"
	comma=,
	if ! read_state "$base/$name" || ! stack "$parent"; then
		printf '"state":"none"}'
		return
	fi
	count_changes
	printf '"state":"%s","root":{"begunOver":"%s","present":"%s"},' "$status" "$root" "$id"
	printf '"differs":{"added":%s,"changed":%s,"deleted":%s},"shadowing":' "$added" "$changed" "$deleted"
	list "$folder/shadowing"
	printf ',"layers":['
	between=
	each_layer json_layer
	printf ']}'
}

json_layer() {
	size_of "$folder/$layer_folder"
	printf '%s{"folder":"%s","parent":"%s","use":"%s","size":%s' "$between" "$layer_folder" "$layer_parent" "$use" $((size * 1024))
	[ "$use" = top ] || printf ',"name":"%s","time":%s' "$layer_name" "$layer_time"
	printf '}'
	between=,
}
