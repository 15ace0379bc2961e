#!/bin/sh
# Fetches Debian packages of any architecture and unpacks them into a folder, without root and without a change to the
# host: apt works on a state of its own beside DEST, with the host's own sources and keys.
#
#   usage: fetch-debian-parts.sh [--with-dependencies] ARCH DEST PACKAGE...
#
# With --with-dependencies, what apt would install with them into an empty system is fetched too.
# A kernel's meta-package (linux-image-armmp) stands for the versioned package that it depends on. DEST appears when
# everything is in it, or not at all; DEST/.packages says what was asked for, and asking for the same again does nothing.
set -eu

dependencies=
if [ "${1-}" = --with-dependencies ]; then
  dependencies=$1
  shift
fi
if [ $# -lt 3 ]; then
  echo "usage: ${0##*/} [--with-dependencies] ARCH DEST PACKAGE..." >&2
  exit 2
fi
arch=$1
dest=$2
shift 2

request="$arch $*${dependencies:+ $dependencies}"
if [ -f "$dest/.packages" ] && [ "$(head -n 1 "$dest/.packages")" = "$request" ]; then
  exit 0
fi

for tool in apt-get apt-cache dpkg-deb; do
  if ! command -v "$tool" >/dev/null; then
    echo "${0##*/}: needs $tool, and so a Debian host; imgbuild itself works on any root file system you have" >&2
    exit 1
  fi
done

mkdir -p "$(dirname "$dest")"
work=$(cd "$(dirname "$dest")" && pwd)/$(basename "$dest").partial
rm -rf "$work"
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/tree"
: >"$work/status"

# Given with --config-file, which apt reads after the host's own configuration: sources, keys and proxies stay the
# host's, and hooks that would act on the host are cleared.
cat >"$work/apt.conf" <<CONFIG
APT::Architecture "$arch";
#clear APT::Architectures;
APT::Architectures { "$arch"; };
APT::Sandbox::User "";
Dir::State "$work/state";
Dir::State::lists "$work/state/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Cache::archives "$work/cache/archives";
Dir::Log "$work/state";
Acquire::Languages "none";
Acquire::Retries "3";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
CONFIG

# A source that has nothing for this architecture, or cannot be reached, matters only if a package is missing below.
echo "fetching the list of $arch packages" >&2
apt-get --config-file "$work/apt.conf" -qq update >"$work/update.log" 2>&1 || true

# Prints the package that a kernel's meta-package stands for, and any other package as it is.
versioned() {
  case $1 in
  linux-image-*)
    apt-cache --config-file "$work/apt.conf" depends "$1" |
      sed -n 's/^ *|\{0,1\}Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1 | grep . || echo "$1"
    ;;
  *) echo "$1" ;;
  esac
}

# What apt would install into an empty system. Recommended packages are not in it.
if [ "$dependencies" ]; then
  # shellcheck disable=SC2046 # the packages are words
  set -- $(apt-get --config-file "$work/apt.conf" --no-install-recommends --simulate install "$@" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p')
  if [ $# = 0 ]; then
    echo "${0##*/}: apt finds no way to install these packages" >&2
    exit 1
  fi
fi

# At once: apt takes a second to read its lists.
names=$(for package in "$@"; do versioned "$package"; done)
echo "fetching $names" | tr '\n' ' ' >&2
# shellcheck disable=SC2086 # the packages are words
if ! (cd "$work/debs" && apt-get --config-file "$work/apt.conf" -qq download $names) >&2; then
  cat "$work/update.log" >&2
  for name in $names; do
    apt-cache --config-file "$work/apt.conf" show "$name" >/dev/null 2>&1 ||
      echo "${0##*/}: no $name for $arch in this host's apt sources" >&2
  done
  exit 1
fi

for deb in "$work"/debs/*.deb; do
  dpkg-deb --extract "$deb" "$work/tree"
done

{
  echo "$request"
  for deb in "$work"/debs/*.deb; do basename "$deb"; done
} >"$work/tree/.packages"
rm -rf "$dest"
mv "$work/tree" "$dest"
rm -rf "$work"
