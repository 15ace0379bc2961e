# What overlayctl status prints, for people and as JSON. Sourced by overlayctl.sh.

# shellcheck source=src/overlay/differences.sh
. "$library/differences.sh"

# count_changes: sets added, changed and deleted.
count_changes() {
	added=0 changed=0 deleted=0
	changes count_change
}

count_change() {
	case $1 in
	A) added=$((added + 1)) ;;
	M) changed=$((changed + 1)) ;;
	D) deleted=$((deleted + 1)) ;;
	esac
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
	while read -r action target word other; do
		case $action in
		id | keep) continue ;;
		snapshot) word=$other ;;
		esac
		find_overlay "$target" || path=$target
		echo "At the next boot: $action${word:+ $word} of $path"
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
	[ ! -f "$folder/before" ] || echo "  what was written over the root before is kept until this one is confirmed"
	while IFS= read -r file; do
		printf '  hides what the new root has: %s\n' "$file"
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
	while IFS= read -r item; do
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
