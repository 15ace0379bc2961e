# Layers of an overlay, put together: folding one into another, and what a stack of them holds. Sourced by preinit.sh and
# overlayctl.sh where they have use for it.
#
# In an upper layer a character device 0/0 (a whiteout) hides what is below of its name, a folder with the xattr
# trusted.overlay.opaque hides what is in the folders below of its name, and any other folder is merged with them
# (Documentation/filesystems/overlayfs.rst). busybox reads no xattrs, so the kernel is asked: in an overlay of the layer over
# folders with a marker in each, an opaque one shows no marker.

marker=.imgbuild+marker

# exists PATH: whether there is something, a symlink to nowhere or a whiteout included.
exists() {
	[ -e "$1" ] || [ -L "$1" ]
}

is_folder() {
	[ -d "$1" ] && [ ! -L "$1" ]
}

# is_whiteout PATH
is_whiteout() {
	[ -c "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %t:%T "$1")" = 0:0 ]
}

# reaches FOLDER FILE: whether the folders on the way from FOLDER to a file in it are folders, and no symlinks.
reaches() {
	way=$1
	rest=${2#/}
	while [ "${rest#*/}" != "$rest" ]; do
		way=$way/${rest%%/*}
		rest=${rest#*/}
		is_folder "$way" || return
	done
}

# look_through POINT LOWERS: mounts layers over each other, the first on top, to be read. The kernel wants two at least.
look_through() {
	mkdir -p "$1" && lay "ro,lowerdir=$2" "$1"
}

# fold UPPER LOWER: moves all that LOWER holds into UPPER, the layer above it, without ever changing what is seen through both.
# Cut off at any point, it goes on where it was. Every step is one rename, or removes what another entry hides.
fold() {
	new=$1
	old=$2
	probe=$run/fold/probe
	mkdir -p "$run/fold" && rm -rf "$probe" && mark "" || return
	look_through "$run/fold/new" "$new:$probe" &&
		hide_below &&
		look_through "$run/fold/old" "$old:$probe" &&
		fold_up ""
	failed=$?
	umount "$run/fold/new"
	! mounted "$run/fold/old" || umount "$run/fold/old"
	rm -rf "$run/fold"
	return "$failed"
}

# mark FOLDER: puts a marker into the probe for a folder of UPPER and for those in it of whose name LOWER has something; the
# probe's folder has the time of UPPER's. (A function's own parameters are what survives its calling itself.)
mark() {
	mkdir "$probe$1" && true >"$probe$1/$marker" || return
	for entry in "$new$1"/* "$new$1"/.[!.]* "$new$1"/..?*; do
		is_folder "$entry" && exists "$old$1/${entry##*/}" || continue
		mark "$1/${entry##*/}" || return
	done
	touch -r "$new$1" "$probe$1"
}

# hide_below: where UPPER has a folder and LOWER a file or a whiteout, that is what hides folders further below: the kernel makes
# UPPER's opaque only over whiteouts of its own. It is replaced by an opaque folder, which the kernel makes in one step where
# there was a whiteout.
hide_below() {
	covers=
	find_covers "" && [ "$covers" ] || return 0
	work=$old+work
	rm -rf "$work" && mkdir -p "$work" "$run/fold/edit" || return
	lay "lowerdir=$probe,upperdir=$old,workdir=$work" "$run/fold/edit" || return
	replace_covers ""
	failed=$?
	umount "$run/fold/edit" && rm -rf "$work" && return "$failed"
}

# find_covers FOLDER: sets covers where there is such a place.
find_covers() {
	for entry in "$probe$1"/* "$probe$1"/.[!.]* "$probe$1"/..?*; do
		is_folder "$entry" || continue
		entry=$1/${entry##*/}
		if is_folder "$old$entry"; then
			find_covers "$entry"
		elif exists "$old$entry"; then
			opaque new "$entry" || covers=yes
		fi
	done
}

replace_covers() {
	for entry in "$probe$1"/* "$probe$1"/.[!.]* "$probe$1"/..?*; do
		is_folder "$entry" || continue
		entry=$1/${entry##*/}
		if is_folder "$old$entry"; then
			replace_covers "$entry"
		elif exists "$old$entry" && ! opaque new "$entry"; then
			rm -f "$run/fold/edit$entry" && mkdir "$run/fold/edit$entry"
		fi || return
	done
}

# opaque VIEW FOLDER: whether a folder that both layers have hides what is below it.
opaque() {
	[ ! -e "$run/fold/$1$2/$marker" ]
}

# fold_up FOLDER: empties and removes LOWER's folder, which UPPER's, not an opaque one, is merged with.
fold_up() {
	if [ "$1" ] && opaque old "$1"; then
		fold_down "$1"
		return
	fi
	for entry in "$old$1"/* "$old$1"/.[!.]* "$old$1"/..?*; do
		exists "$entry" || continue
		entry=$1/${entry##*/}
		if ! exists "$new$entry"; then
			mv -f "$old$entry" "$new$entry"
		elif is_folder "$old$entry" && is_folder "$new$entry" && ! opaque new "$entry"; then
			fold_up "$entry"
		else
			rm -rf "$old$entry"
		fi || return
	done
	touch -r "$probe$1" "$new$1" && { [ ! "$1" ] || rmdir "$old$1"; }
}

# fold_down FOLDER: the same where LOWER's folder is opaque, which the result has to be: UPPER's entries go into it, and then it
# takes UPPER's place. Whiteouts have nothing to hide there.
fold_down() {
	for entry in "$new$1"/* "$new$1"/.[!.]* "$new$1"/..?*; do
		exists "$entry" || continue
		entry=$1/${entry##*/}
		exists "$old$entry" || continue
		if is_folder "$old$entry" && is_folder "$new$entry" && ! opaque new "$entry"; then
			fold_up "$entry"
		else
			rm -rf "$old$entry"
		fi || return
	done
	for entry in "$new$1"/* "$new$1"/.[!.]* "$new$1"/..?*; do
		exists "$entry" || continue
		if is_whiteout "$entry"; then
			rm -f "$entry"
		else
			mv -f "$entry" "$old$1/${entry##*/}"
		fi || return
	done
	take_after "$new$1" "$old$1" &&
		touch -r "$probe$1" "$old$1" &&
		rmdir "$new$1" &&
		mv -f "$old$1" "$new$1"
}

# take_after MODEL FOLDER: gives a folder owner and mode of an empty one, and its extended attributes, ACLs among them, as far as the root's
# programs can: the cp of coreutils adds them, and removes only ACLs; busybox's knows none.
take_after() {
	chown "$(stat -c %u:%g "$1")" "$2" && chmod "$(stat -c %a "$1")" "$2" || return
	if ! command -v getfattr >/dev/null || ! command -v setfattr >/dev/null; then
		cp -a "$1/." "$2"
		return
	fi
	attributes_in "$2" | while read -r attribute; do
		setfattr -h -x "${attribute%%=*}" "$2" 2>/dev/null
	done
	attributes_in "$1" >"$run/fold/attributes" && (cd "$2" && setfattr -h --restore=-) <"$run/fold/attributes"
}

# attributes_in FOLDER: prints what setfattr restores, without what is overlayfs's own.
attributes_in() {
	echo "# file: ."
	(cd "$1" && getfattr -h -d -m - -e hex .) | while read -r line; do
		case $line in
		'#'* | '' | trusted.overlay.*) ;;
		*) printf '%s\n' "$line" ;;
		esac
	done
}
