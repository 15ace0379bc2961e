# What is mounted, and how overlays are to be. Sourced by preinit.sh and overlayctl.sh.

# mounted PATH: whether something is mounted there.
mounted() {
	while read -r _ _ _ _ point _; do
		[ "$point" = "$1" ] && return
	done </proc/self/mountinfo
	return 1
}

# load FILESYSTEM: loads its module where the kernel does not have it yet. An initramfs has usually done so.
load() {
	while read -r first_word second_word; do
		[ "${second_word:-$first_word}" = "$1" ] && return
	done </proc/filesystems
	command -v modprobe >/dev/null && modprobe -q "$1"
}

# features: mount options that turn off what would tie an upper layer to one root image, of those that this kernel knows.
# With them off, the same upper layer may be used over the next root image (Documentation/filesystems/overlayfs.rst).
features() {
	options=
	parameters=/sys/module/overlay/parameters
	[ -e $parameters/index ] && options=$options,index=off
	[ -e $parameters/xino_auto ] && options=$options,xino=off
	[ -e $parameters/redirect_dir ] && options=$options,redirect_dir=off
	[ -e $parameters/metacopy ] && options=$options,metacopy=off
}

# lay LAYERS POINT: mounts an overlay of what the options LAYERS say. By the old system call: the new one, which the mount of
# util-linux 2.39 and later would use, takes no more than 255 bytes of an option, and so no more than some ten layers.
lay() {
	LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o "$1$options" overlay "$2"
}
