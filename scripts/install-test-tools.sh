#!/bin/sh
# Installs the programs that `make test` checks the images with, those that are missing and no others, and QEMU. imgbuild
# itself needs none of them.
#
#   usage: install-test-tools.sh [--list]     --list: say what is missing, install nothing
set -eu

# program package
tools='
7z p7zip-full
apt-get apt
bmaptool bmap-tools
busybox busybox-static
bzip2 bzip2
cpio cpio
dmsetup dmsetup
dpkg-deb dpkg
dtc device-tree-compiler
e2fsck e2fsprogs
fakeroot fakeroot
fsck.fat dosfstools
fw_printenv libubootenv-tool
genimage genimage
gensquashfs squashfs-tools-ng
getfattr attr
lz4 lz4
mcopy mtools
mkimage u-boot-tools
modinfo kmod
openssl openssl
parted parted
python3 python3
qemu-img qemu-utils
qemu-system-arm qemu-system-arm
qemu-system-x86_64 qemu-system-x86
rauc rauc
setcap libcap2-bin
setfacl acl
sfdisk fdisk
sgdisk gdisk
simg2img android-sdk-libsparse-utils
shellcheck shellcheck
strace strace
swupdate swupdate
time time
unsquashfs squashfs-tools
uuu uuu
veritysetup cryptsetup-bin
xz xz-utils
zstd zstd
'

# Not every release has this package; which one does is known when the lists of packages are.
wants_pseudo() {
  ! command -v pseudo >/dev/null && apt-cache show pseudo >/dev/null 2>&1
}

PATH=$PATH:/usr/sbin:/sbin
packages=$(echo "$tools" | while read -r program package; do
  if [ -n "$program" ] && ! command -v "$program" >/dev/null; then echo "$package"; fi
done)
if wants_pseudo; then packages="$packages pseudo"; fi
if [ -z "$packages" ]; then exit 0; fi

# One line, so that it can be pasted.
packages=$(echo "$packages" | tr '\n' ' ' | sed 's/ $//')
if [ "${1-}" = --list ]; then
  echo "$packages"
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "${0##*/}: the tests need what Debian has in these packages, and there is no apt-get here: $packages" >&2
  exit 1
elif [ "$(id -u)" = 0 ]; then
  sudo=
elif command -v sudo >/dev/null; then
  sudo=sudo
else
  echo "${0##*/}: the tests need more programs; as root, run: apt-get install $packages" >&2
  exit 1
fi
echo "installing what the tests need: $packages" >&2
$sudo apt-get --quiet=2 update
case " $packages " in
*" pseudo "*) ;;
*) if wants_pseudo; then packages="$packages pseudo"; fi ;;
esac
# shellcheck disable=SC2086 # the packages are words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $packages
