#!/bin/sh
# Makes a root file system with systemd of what fetch-debian-parts.sh --with-dependencies unpacked. No package's own script
# runs, and root is not needed: what they would have done is done here, as far as a system needs it that nobody adds packages
# to. Owners are in fixtures/systemd/devices.txt, for imgbuild's --devices.
#
#   usage: make-systemd-rootfs.sh PARTS MODULES DEST
#
# MODULES is a folder with the kernel's modules, such as make-demo-rootfs.sh leaves: DEMO/rootfs/lib/modules.
set -eu

if [ $# != 3 ]; then
  echo "usage: ${0##*/} PARTS MODULES DEST" >&2
  exit 2
fi
parts=$1
modules=$2
dest=$3
fixtures=$(cd "$(dirname "$0")/../fixtures/systemd" && pwd)

root=$dest.partial
rm -rf "$root"
umask 022
mkdir -p "$root/usr"

# Debian's installer merges /bin, /lib and /sbin into /usr; the packages of Debian 12 still have files in both.
for name in bin lib sbin; do
  mkdir "$root/usr/$name"
  ln -s "usr/$name" "$root/$name"
done
(cd "$parts" && tar -c -f - --exclude=./.packages --exclude='./usr/share/doc/*' --exclude='./usr/share/info/*' \
  --exclude='./usr/share/locale/*' --exclude='./usr/share/man/*' --exclude='./usr/share/perl/*' --exclude='*/perl/*' .) |
  tar -x -f - -C "$root" --keep-directory-symlink

# base-files and base-passwd
base=$root/usr/share/base-passwd
cp "$root/usr/share/base-files/profile" "$root/etc/profile"
cp "$base/passwd.master" "$root/etc/passwd"
cp "$base/group.master" "$root/etc/group"
# root has no password; nobody else can log in.
sed -i 's/:\*:/:x:/' "$root/etc/passwd" "$root/etc/group"
sed 's/^\([^:]*\):.*/\1:*:19000:0:99999:7:::/; s/^root:\*/root:/' "$root/etc/passwd" >"$root/etc/shadow"
chmod 640 "$root/etc/shadow"

# libpam-runtime: pam-auth-update, with the one profile that there is.
for kind in account auth password session session-noninteractive; do
  grep -v '^\$' "$root/usr/share/pam/common-$kind" >"$root/etc/pam.d/common-$kind"
done
pam() { sed -i "0,/pam_deny/s/^\($2.*pam_deny\)/$2 $3 pam_unix.so $4\n\1/" "$root/etc/pam.d/common-$1"; }
pam account account '[success=1 new_authtok_reqd=done default=ignore]' ''
pam auth auth '[success=1 default=ignore]' nullok
pam password password '[success=1 default=ignore]' 'obscure yescrypt'
pam session session '[success=1 default=ignore]' ''
pam session-noninteractive session '[success=1 default=ignore]' ''

# ldconfig's cache is not needed: the loader finds Debian's folders by itself. Nor are alternatives, but for awk and more.
ln -s mawk "$root/usr/bin/awk"
rm -f "$root/etc/mtab"
ln -s ../proc/self/mounts "$root/etc/mtab"
rmdir "$root/var/run" "$root/var/lock" 2>/dev/null || true
ln -s /run "$root/var/run"
ln -s /run/lock "$root/var/lock"

# What systemd-firstboot would ask for at the console.
ln -s /usr/share/zoneinfo/Etc/UTC "$root/etc/localtime"

mkdir -p "$root/lib/modules"
cp -R "$modules/." "$root/lib/modules"
cp -R "$fixtures/rootfs/." "$root"
mkdir -p "$root/var/log/journal"

rm -rf "$dest"
mv "$root" "$dest"
