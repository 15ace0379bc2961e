# overlayctl update: a new root into the other slot. Sourced by overlayctl.sh after slots.sh.
#
# Nothing is switched before all of the image is on the disk and has been read back as it should be, the kernel has mounted it, and
# there is in it what this device needs. Until then the slot that runs stays the root, and there is none to go back to.

# update FILE: - is the standard input.
update() {
	[ "$1" ] || usage "update needs a file, or - for the standard input"
	[ ! -b "$1" ] || fail "$1 is a device, and not a file; what it holds can come on standard input: overlayctl update - <$1"
	[ "$1" = - ] || [ -f "$1" ] || fail "there is no file $1"
	! on_trial || fail "this root is on trial, and the other slot is what it falls back to: confirm it or roll back first"
	wanted_hash "$1"
	stage=$run/update
	# What was interrupted may have left it mounted: then the kernel would not look at the new one.
	! mounted "$stage/root" || umount "$stage/root"
	while read -r from point _; do
		[ "$from" != "$other_device" ] || fail "the other slot, $other_device, is mounted on $point"
	done </proc/mounts
	rm -rf "$stage"
	mkdir -p "$stage" || fail "there is no room in $run"
	[ "$1" = - ] || exec <"$1"
	# What kind of file it is, and what it says of itself. Byte by byte: what follows is left to be read.
	dd bs=1 count=96 of="$stage/start" 2>/dev/null
	find_unpacker "$stage/start"
	[ "$1" = - ] || $unpack 2>/dev/null <"$1" | dd bs=1 count=96 of="$stage/superblock" 2>/dev/null
	[ "$1$unpack" != -cat ] || cp "$stage/start" "$stage/superblock"
	[ ! -e "$stage/superblock" ] || read_superblock "$stage/superblock"
	[ "$1" = - ] || slot_is_free || check_file "$1"
	free_slot
	write_slot
	check_slot
	find_root_hash
	look_into_slot
	switch
}

# wanted_hash FILE: sets sha256 to what --sha256, FILE.sha256 or the manifest beside it says, if nothing does to nothing.
wanted_hash() {
	if [ "$sha256" ] || [ "$1" = - ]; then
		:
	elif [ -e "$1.sha256" ]; then
		read -r sha256 _ <"$1.sha256"
		sha256=${sha256:-nothing}
	elif [ -e "$(dirname "$1")/manifest.json" ]; then
		# A property a line: the file's name, its size, its hash.
		file=
		while IFS='"' read -r _ key _ value _; do
			case $key in
			file) file=$value ;;
			sha256) [ "$file" != "${1##*/}" ] || sha256=$value ;;
			esac
		done <"$(dirname "$1")/manifest.json"
	fi
	# What is said but cannot be compared must not pass for nothing said.
	case $sha256 in
	*[!0-9a-f]*) ;;
	*) [ "$sha256" ] && [ ${#sha256} != 64 ] || return 0 ;;
	esac
	fail "$sha256 is no SHA-256: that has 64 digits of 0-9 and a-f"
}

# find_unpacker FILE: sets unpack by the file's first bytes.
find_unpacker() {
	case $(od -A n -t x1 -N 6 "$1" | tr -d ' \n') in
	68737173*) unpack="cat" ;;
	1f8b*) unpack="gzip -dc" ;;
	fd377a585a00*) unpack="xz -dc" ;;
	28b52ffd*) unpack="zstd -dc" ;;
	*) fail "this is no SquashFS, plain or packed with gzip, xz or zstd" ;;
	esac
	command -v "${unpack%% *}" >/dev/null || fail "this device has no ${unpack%% *} to unpack it"
}

# number AT LENGTH FILE: prints a little-endian number.
number() {
	factor=1
	sum=0
	for byte in $(od -A n -t u1 -j "$1" -N "$2" "$3"); do
		sum=$((sum + byte * factor))
		factor=$((factor * 256))
	done
	echo $sum
}

# read_superblock FILE: sets used to how long the file system is (Documentation/filesystems/squashfs.rst: magic at 0, bytes_used
# at 40), and sees to it that it has room.
read_superblock() {
	[ "$(od -A n -t x1 -N 4 "$1" | tr -d ' \n')" = 68737173 ] || fail "there is no SquashFS in it"
	used=$(number 40 8 "$1")
	slot_size
	if [ "$used" -lt 96 ] || [ "$used" -gt "$size" ]; then
		fail "the root is $used bytes long, and the slot, partition $other, has room for $size"
	fi
}

# slot_size: sets size, in bytes.
slot_size() {
	entry=/sys/class/block/${other_device##*/}/size
	[ -e "$entry" ] || fail "there is no $entry"
	read -r size <"$entry"
	size=$((size * 512))
}

# slot_is_free: whether the other slot holds nothing to boot as it is.
slot_is_free() {
	[ "$root_part $root_old $upgrade_available" = "$running_hex  0" ]
}

# check_file FILE: before a root is given up for it, whether it is all there, as far as that can be told.
check_file() {
	if [ "$sha256" ]; then
		hash=$(sha256sum <"$1")
		[ "${hash%% *}" = "$sha256" ] || fail "its SHA-256 is ${hash%% *}, and should be $sha256"
	fi
	length=$($unpack <"$1" 2>/dev/null | wc -c)
	[ "$length" -ge "$used" ] || fail "it ends after $length bytes, and the file system in it has $used"
	[ "$length" -le "$size" ] || fail "it is $length bytes long, and the slot, partition $other, has room for $size"
}

# free_slot: from here on there is nothing to boot in the other slot. Also where an update waits for its first try.
free_slot() {
	slot_is_free || settle_on "$running_hex" ''
}

# write_slot: writes the standard input, of which start has been read, into the other slot. On the way it counts and
# hashes: the file as it came, and what was in it.
write_slot() {
	for pipe in packed plain counted; do
		mknod "$stage/$pipe" p || fail "there is no room in $run"
	done
	sha256sum <"$stage/packed" >"$stage/packed.hash" &
	tee "$stage/counted" <"$stage/plain" | sha256sum >"$stage/plain.hash" &
	wc -c <"$stage/counted" >"$stage/length" &
	{
		{
			cat "$stage/start" - || echo "it cannot be read" >"$stage/failed"
		} | tee "$stage/packed" | {
			$unpack || echo "it is cut short or damaged: it cannot be unpacked" >"$stage/failed"
		} | tee "$stage/plain" | {
			dd of="$other_device" bs=65536 conv=fsync 2>"$stage/log" ||
				echo "the other slot cannot be written: $(head -n 1 "$stage/log")" >"$stage/unwritten"
			cat >/dev/null
		}
	}
	wait
	[ ! -e "$stage/unwritten" ] || fail "$(cat "$stage/unwritten")"
	[ ! -e "$stage/failed" ] || fail "$(cat "$stage/failed")"
}

# check_slot: whether all came, is what it should be, and is on the disk.
check_slot() {
	read -r hash _ <"$stage/packed.hash"
	[ ! "$sha256" ] || [ "$hash" = "$sha256" ] || fail "its SHA-256 is $hash, and should be $sha256"
	read -r length <"$stage/length"
	forget_cache "$other_device" || fail "what was written cannot be read back: there is no blockdev, nor /proc/sys/vm/drop_caches"
	dd if="$other_device" of="$stage/superblock" bs=96 count=1 2>/dev/null
	read_superblock "$stage/superblock"
	[ "$length" -ge "$used" ] || fail "it ends after $length bytes, and the file system in it has $used"
	read -r hash _ <"$stage/plain.hash"
	[ "$(head -c "$length" "$other_device" | sha256sum)" = "$hash  -" ] || fail "what is read back is not what was written"
}

# find_root_hash: where this device checks its root with dm-verity, sets the variable root_hash_N to the hash of the tree behind the file
# system in the other slot: the digest of the salt and the tree's first block. src/verity has the format; veritysetup's is the same.
find_root_hash() {
	argument imgbuild.verity || return 0
	blocks=$(((used + 4095) / 4096))
	dd if="$other_device" of="$stage/tree" bs=4096 skip=$blocks count=2 2>/dev/null
	# "verity", version 1, type 1; "sha256"; blocks of 4096 bytes.
	[ "$(od -A n -v -t x1 -N 16 "$stage/tree" | tr -d ' \n')" = 76657269747900000100000001000000 ] &&
		[ "$(od -A n -v -t x1 -j 32 -N 7 "$stage/tree" | tr -d ' \n')" = 73686132353600 ] &&
		[ "$(od -A n -v -t x1 -j 64 -N 8 "$stage/tree" | tr -d ' \n')" = 0010000000100000 ] &&
		[ "$(number 72 8 "$stage/tree")" = $blocks ] ||
		fail "it has no hash tree, and this device checks its root by one: build it with verity"
	all=$((blocks + 1))
	level=$blocks
	while [ $level -gt 1 ]; do
		level=$(((level + 127) / 128))
		all=$((all + level))
	done
	[ "$length" -ge $((all * 4096)) ] || fail "it ends after $length bytes, and with its hash tree it has $((all * 4096))"
	hash=$({
		tail -c +89 "$stage/tree" | head -c "$(number 80 2 "$stage/tree")"
		tail -c +4097 "$stage/tree"
	} | sha256sum)
	eval "root_hash_$other_hex=\${hash%% *}"
}

# look_into_slot: whether the kernel mounts it, and what has to be in it is. The kernel is on BootFS and serves both slots: a
# root that was made for another one lacks its modules.
look_into_slot() {
	mkdir -p "$stage/root"
	mount -t squashfs -o ro "$other_device" "$stage/root" || fail "the kernel cannot mount it"
	problem=
	if [ ! -e "$stage/root$library/preinit" ]; then
		problem="it is no root that was built for this: it has no $library/preinit"
	elif theirs=$(slots_of "$stage/root$library/preinit.conf") && [ "$theirs" != "$slot_a $slot_b $block" ]; then
		problem="it was built for other slots than this device has, so that it could not be confirmed"
	elif [ ! "$force" ] && [ -d "/lib/modules/$(uname -r)" ] && [ ! -d "$stage/root/lib/modules/$(uname -r)" ]; then
		problem="it has no modules for the kernel on BootFS, $(uname -r); --force takes it all the same"
	fi
	umount "$stage/root"
	[ ! "$problem" ] || fail "$problem"
}

# slots_of FILE: prints what a preinit.conf says of the slots: their partitions, and where their environment is.
slots_of() {
	while read -r key first second at _; do
		[ "$key" != slots ] || echo "$first $second $at"
	done <"$1"
}

# switch: has the other slot tried from the next boot on.
switch() {
	rm -rf "$stage"
	try_other ''
	at_next_boot "The new root is tried at the next boot, $tries times at most."
}
