# Which of the two root slots is booted: an environment in U-Boot's format, which the boot script reads too (slot-script.ts says
# what its variables mean). Sourced by slots.sh.
#
# It is in the block of 4096 bytes number $block of the disk, and the block behind that has what was before the last change.
# Whoever changes it first copies the one that counts to the second place, and writes the first then. So one of
# them is whole at any moment, and a power cut leaves the old state or the new one.
#
#     byte 0      CRC-32 of what is behind the header, little-endian
#     byte 4      only where U-Boot was built for redundant environments: a flag, of which nothing depends here
#     byte 4/5    name=value, each with a NUL behind it; an empty one; padding
#
# One with another slots_id than this installation's is what an earlier one left there: it does not count.
#
# In: disk, the disk's node; block; usual_header, for a new one; installation; work, the folder of the work files, which is for one process
# alone.

variables="slots_id root_part root_old root_failed trial_note upgrade_available bootcount bootlimit"

# fetch BLOCK FILE
fetch() {
	dd if="$disk" of="$2" bs=4096 skip="$1" count=1 2>/dev/null
}

# store FILE BLOCK: on the disk when it returns.
store() {
	dd if="$1" of="$disk" bs=4096 seek="$2" count=1 conv=fsync 2>/dev/null
}

# crc_of FILE HEADER: prints the four bytes. gzip puts them behind what it packs, and ash has no other way to them.
crc_of() {
	tail -c +$(($2 + 1)) "$1" | gzip -c | tail -c 8 | head -c 4
}

# valid FILE: whether its checksum is right; sets header to the length of what is in front of the variables.
valid() {
	head -c 4 "$1" >"$1.crc"
	for header in 4 5; do
		crc_of "$1" $header | cmp -s - "$1.crc" && return
	done
	return 1
}

# read_environment: sets the variables, and counts to the file in $work that has them; false where neither copy counts.
read_environment() {
	forget_variables
	mkdir -p "$work" || return
	counts=current
	read_copy "$block" && return
	counts=before
	read_copy $((block + 1)) && return
	forget_variables
	slots_id=$installation
	counts=
	header=$usual_header
	return 1
}

forget_variables() {
	for variable in $variables; do
		eval "$variable="
	done
}

# read_copy BLOCK: sets the variables by that copy; false where it does not count.
read_copy() {
	forget_variables
	fetch "$1" "$work/$counts" && valid "$work/$counts" || return
	tail -c +$((header + 1)) "$work/$counts" | tr '\000' '\n' >"$work/lines"
	while IFS='=' read -r key value; do
		case $key in
		'') break ;;
		*[!a-z0-9_]*) ;;
		*) case " $variables " in *" $key "*) eval "$key=\$value" ;; esac ;;
		esac
	done <"$work/lines"
	[ "$slots_id" = "$installation" ]
}

# write_environment: writes the variables, after read_environment, and reads them back.
write_environment() {
	make_environment || return
	if [ "$counts" = current ]; then
		store "$work/current" $((block + 1)) || return
	fi
	store "$work/new" "$block" || return
	forget_cache "$disk" && fetch "$block" "$work/current" && cmp -s "$work/current" "$work/new" && counts=current
}

make_environment() {
	{
		for variable in $variables; do
			eval "value=\$$variable"
			[ ! "$value" ] || printf '%s=%s\000' "$variable" "$value"
		done
		head -c 4096 /dev/zero
	} | head -c $((4096 - header)) >"$work/data"
	{
		crc_of "$work/data" 0
		[ "$header" = 4 ] || printf '\001'
		cat "$work/data"
	} >"$work/new"
	valid "$work/new"
}

# forget_cache DEVICE: has the kernel read from the device again, and not what it remembers; false where that cannot be had. Without
# blockdev it forgets all that it remembers of any.
forget_cache() {
	blockdev --flushbufs "$1" 2>/dev/null || { sync && echo 1 >/proc/sys/vm/drop_caches; }
}
