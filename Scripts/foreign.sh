#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Puts Debian's static busybox for another architecture into the cache folder, for the tests of foreign platforms:
#   foreign/busybox-arm64
# apt gets lists of its own, so that the system's stay as they are.
set -eu
. "$(dirname "$0")/common.sh"

mkdir -p "$(bases_cache)/foreign"
directory=$(cd "$(bases_cache)/foreign" && pwd)
[ ! -x "$directory/busybox-arm64" ] || exit 0
command -v apt-get >/dev/null || exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
apt() {
    apt-get -q -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Architecture=arm64 \
        -o APT::Architectures=arm64 -o APT::Sandbox::User=root "$@" >&2
}
apt update
(cd "$work" && apt download busybox-static)
dpkg-deb -x "$work"/busybox-static_*_arm64.deb "$work/unpacked"
mv "$work/unpacked/bin/busybox" "$directory/busybox-arm64"
