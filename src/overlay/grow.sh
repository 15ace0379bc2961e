# Grows UserData to the end of its disk: its partition, and then the file system in it. Sourced by preinit.sh when the sizes are
# others than those of the last time, and so at the first boot.
#
# UserData is mounted by then: the kernel grows a mounted ext4 through its journal, so that a power cut leaves a whole file
# system of some size, and what is to be done is noted on UserData, in the file grown:
#     nothing in it                it has been begun; and is done again from the start, which at any point is right
#     DISK PARTITION               done, at these sizes, in sectors of 512 bytes
#     failed DISK PARTITION WHY    it could not be done, and is not tried again at these sizes
# No such file means that nothing has been done. An empty one takes no block: growing is what a full UserData wants most.
# docs/decisions/0018 has the reasons.
#
# In: record, size and disk_size of grown; partition and device of mount_userdata; grow of preinit.conf.

# As much room behind the partition, in sectors of 512 bytes, is worth writing the table: 8 MiB.
least_room=16384

# grow_userdata: as far as the root's programs allow; why it was not done is in $run/not-grown, for overlayctl status.
grow_userdata() {
	log=$run/grow.log
	case $record in
	"failed $disk_size $size "*)
		not_grown "${record#failed * * }"
		return
		;;
	none | failed\ * | [0-9]*) ! last || ! room_behind || grow_partition || return ;;
	*) mount_anew && last && grow_partition || return ;;
	esac
	grow_file_system
}

# mount_anew: what a power cut left of the growing may be in the journal only. The kernel counts a file system's groups before it
# replays that; as long as it stays mounted, files that get blocks lose their content ("Delayed block allocation failed").
mount_anew() {
	umount "$mount" && mount_ext4 && return
	mounted "$mount" && return
	degraded "UserData ($device) cannot be mounted a second time; changes are kept in memory"
	use_tmpfs
	return 1
}

not_grown() {
	echo "$*" >"$run/not-grown"
}

failed() {
	say "UserData was not grown: $*; see $log"
	not_grown "$*"
	note_grown "failed $disk_size $size $*"
}

# note_grown TEXT: notes the end of it. Where there is no room the next boot looks again, as if it had not been begun: nothing is half-done.
note_grown() {
	{ echo "$*" >"$mount/grown" && sync; } 2>/dev/null || rm -f "$mount/grown"
}

# number FILE: sets number to what is in a file of /sys. False where that is no number: the shell would end at calculating.
number() {
	number=
	[ ! -e "$1" ] || read -r number <"$1"
	case $number in
	'' | *[!0-9]*) return 1 ;;
	esac
}

# last: whether no partition, and nothing that the image keeps free for something else, lies behind UserData. Sets end.
last() {
	number "$partition/../size" && disk_size=$number && number "$partition/size" && size=$number &&
		number "$partition/start" && end=$((number + size)) || return
	for entry in "$partition"/../*/start; do
		number "$entry" && [ "$number" -lt "$end" ] || return
	done
	while read -r key value; do
		[ "$key" != reserved ] || [ "$value" -lt "$end" ] || return
	done <"$config"
}

room_behind() {
	[ $((disk_size - end)) -ge $least_room ]
}

# grow_partition: sfdisk writes the copy of a GPT at the disk's end first, and one sector at a time of an MBR. What it had begun
# it does again, and so mends what a cut left of it.
grow_partition() {
	for program in sfdisk resize2fs; do
		command -v $program >/dev/null && continue
		not_grown "the root has no $program"
		return 1
	done
	node_of "$partition/.." && medium=$node || return
	if ! { true >"$mount/grown" && sync; } 2>/dev/null; then
		not_grown "UserData has no inode for a note of it"
		return 1
	fi
	# A logical partition lies in an extended one, whose number the build knows.
	if ! { [ "$grow" = - ] || to_the_end "$grow"; } || ! to_the_end "$userdata"; then
		failed "sfdisk could not change the partition table"
		return 1
	fi
	sync
	tell_kernel
	last && ! room_behind && return
	not_grown "the kernel takes the partition's new size at the next boot"
	return 1
}

# to_the_end NUMBER: grows a partition as far as there is room behind it. The kernel is not told: sfdisk asks it to read the
# whole table anew, which it does not do while the root is mounted from that disk.
to_the_end() {
	sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions never -N "$1" "$medium" >>"$log" 2>&1 <<-END
		, +
	END
}

# tell_kernel: these change the size of a partition that is in use. Without either it is the next boot that grows the file system.
tell_kernel() {
	if command -v partx >/dev/null; then
		partx --update --nr "$userdata" "$medium"
	elif command -v partprobe >/dev/null; then
		partprobe "$medium"
	fi >>"$log" 2>&1
}

# grow_file_system: does nothing where it fills its partition already.
grow_file_system() {
	if command -v resize2fs >/dev/null && ! resize2fs "$device" >>"$log" 2>&1; then
		failed "resize2fs could not grow the file system"
		return
	fi
	read -r size <"$partition/size"
	note_grown "$disk_size $size"
}
