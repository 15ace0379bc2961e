#!/bin/sh
# Makes the demonstration's root file system and boot files of what fetch-debian-parts.sh unpacked. Root is not needed:
# owners, modes and device nodes are in fixtures/demo/devices.txt, which goes to imgbuild's --devices.
#
#   usage: make-demo-rootfs.sh PARTS DEST [DEVICETREE...]
#
#   DEST/rootfs   BusyBox, /etc, users, /home/root, the kernel's modules that fixtures/demo/modules.txt names
#   DEST/boot     the kernel (zImage, on arm64 Image, on amd64 bzImage), its config, and the device trees that match the patterns
#
# This is how Buildroot and Yocto leave them: boot files beside the root file system, not in it.
set -eu

if [ $# -lt 2 ]; then
  echo "usage: ${0##*/} PARTS DEST [DEVICETREE...]" >&2
  exit 2
fi
parts=$1
dest=$2
shift 2
fixtures=$(cd "$(dirname "$0")/../fixtures/demo" && pwd)

# Debian 12 unpacks to lib/modules and bin, Debian 13 to usr/lib/modules and usr/bin.
first() {
  for path in "$@"; do
    if [ -e "$path" ]; then
      echo "$path"
      return
    fi
  done
  echo "${0##*/}: none of $* exists: is $parts complete?" >&2
  return 1
}
busybox=$(first "$parts/usr/bin/busybox" "$parts/bin/busybox")
modules=$(first "$parts"/usr/lib/modules/* "$parts"/lib/modules/*)
version=${modules##*/}
kernel=$(first "$parts/boot/vmlinuz-$version")
config=$(first "$parts/boot/config-$version")

work=$dest.partial
rm -rf "$work"
root=$work/rootfs
umask 022
mkdir -p "$root" "$work/boot"
root=$(cd "$root" && pwd)

(
  cd "$root"
  mkdir -p bin sbin dev etc home lib/modules media mnt opt proc run sys tmp usr/bin usr/sbin usr/share
  mkdir -p var/cache var/lib var/log var/spool/operator var/tmp
)
cp -R "$fixtures/rootfs/." "$root"
chmod -R u=rwX,go=rX "$root"

cp "$busybox" "$root/bin/busybox"
cp "$busybox" "$root/bin/busybox.suid"
chmod 755 "$root/bin/busybox" "$root/bin/busybox.suid"
while read -r how name; do
  case $how in
  hard) ln "$root/bin/busybox" "$root/$name" ;;
  link) ln -s /bin/busybox "$root/$name" ;;
  suid) ln -s /bin/busybox.suid "$root/$name" ;;
  esac
done <"$fixtures/applets.txt"

mkdir "$root/lib/modules/$version"
grep -v '^#' "$fixtures/modules.txt" | (
  cd "$modules"
  cp modules.* "$root/lib/modules/$version"
  while read -r name; do
    for path in "kernel/$name" "kernel/$name.ko" "kernel/$name.ko.xz"; do
      if [ -e "$path" ]; then cp -R --parents "$path" "$root/lib/modules/$version"; fi
    done
  done
)

case $(head -n 1 "$parts/.packages") in
amd64*) cp "$kernel" "$work/boot/bzImage" ;;
arm64*) cp "$kernel" "$work/boot/Image" ;;
*) cp "$kernel" "$work/boot/zImage" ;;
esac
cp "$config" "$work/boot/config-$version"
for pattern in "$@"; do
  find "$parts/usr/lib/linux-image-$version" -name "$pattern" -exec cp {} "$work/boot" \;
done

# One time for everything, the kernel's: when this was checked out must not show in the image.
find "$work" -exec touch -h -r "$kernel" {} +

rm -rf "$dest"
mv "$work" "$dest"
