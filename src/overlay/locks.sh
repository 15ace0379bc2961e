# Who may change what, of several overlayctl at once: one is started at the end of the boot, others by hand. Sourced by overlayctl.sh.
#
#     /run/imgbuild/lock-overlays    the states of the overlays, and what is asked for at the next boot
#     /run/imgbuild/lock-slots       the slots and their environment
#     /run/imgbuild/lock-import      the folder that a tar is unpacked into
#
# Each is a symbolic link to what its holder is known by: its number, a dot, and when it was started, for numbers are given again. A link is
# there with what it says or not at all, and there can be one only. What a process that was killed has left does not count.

# started PROCESS: sets start to when it was started, in ticks since the boot (proc_pid_stat(5), field 22); false where none of that number
# runs.
started() {
	start=
	read -r stat 2>/dev/null <"/proc/$1/stat" || return
	# Its name, in brackets, may have blanks.
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	[ "$1" != Z ] || return
	shift 19
	start=$1
}

# runs HOLDER
runs() {
	started "${1%.*}" && [ "$start" = "${1#*.}" ]
}

# try_lock FILE: false where another has it. The lock of a dead holder is removed by one process alone, which has a lock for that by the
# holder's name: a second one that had seen the dead one too would remove the lock of whoever has it by then.
try_lock() {
	link_to_this "$1" && return
	set -- "$1" "$(readlink "$1")"
	[ "$2" ] && ! runs "$2" && try_lock "$1+$2" || return
	[ "$(readlink "$1")" != "$2" ] || rm -f "$1"
	rm -f "$1+$2"
	link_to_this "$1"
}

link_to_this() {
	started $$
	ln -s "$$.$start" "$1" 2>/dev/null
}

# take_lock WHAT SECONDS: keeps others from that for as long as this runs, or until drop_lock; waits so long for one that is at work.
take_lock() {
	waited=0
	until try_lock "$run/lock-$1"; do
		waited=$((waited + 1))
		if [ $waited -gt "$2" ]; then
			holder=$(readlink "$run/lock-$1")
			fail "another overlayctl is at work, process ${holder%.*}"
		fi
		sleep 1
	done
	locks="$locks $run/lock-$1"
}

# drop_lock WHAT
drop_lock() {
	kept_locks=
	for lock in $locks; do
		[ "$lock" = "$run/lock-$1" ] || kept_locks="$kept_locks $lock"
	done
	locks=$kept_locks
	rm -f "$run/lock-$1"
}
