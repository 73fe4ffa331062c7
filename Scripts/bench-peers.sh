#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Unpacks today's builders of Debian sid into the cache folder, for `make bench`: dockerd with its BuildKit,
# docker-buildx, buildah and crun, with all that they need, down to the C library:
#   peers/root   a tree of its own; nothing is installed, no maintainer script runs
#   peers/list   the packages and their versions
# apt gets lists and a status of its own and checks the archive's signature. GALLEY_BENCH_MIRROR names another mirror.
set -eu
. "$(dirname "$0")/common.sh"

for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null || die "$program is needed: the peers are unpacked from Debian's packages"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || die "no $keyring: apt-get install debian-archive-keyring"

peers=$(bench_peers)
mkdir -p "$peers"
peers=$(cd "$peers" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/state/status"
printf 'deb [signed-by=%s] %s sid main\n' "$keyring" "${GALLEY_BENCH_MIRROR:-http://deb.debian.org/debian}" \
    >"$work/sources.list"

apt() {
    apt-get -q -y -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" -o "Dir::Cache=$work/cache" \
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false "$@" >&2
}

apt update
# dash and mount: the runtime is started by a script, and the tree becomes the root of a mount namespace. buildah
# starts only where it finds netavark.
apt install --download-only docker.io docker-cli docker-buildx buildah netavark crun dash mount

rm -rf "$peers/root.new"
mkdir -p "$peers/root.new/usr"
for name in bin sbin lib lib64; do
    mkdir "$peers/root.new/usr/$name"
    ln -s "usr/$name" "$peers/root.new/$name"
done
for package in "$work"/cache/archives/*.deb; do
    # Through tar: dpkg-deb -x would replace the links above by folders.
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$peers/root.new" --keep-directory-symlink
    # shellcheck disable=SC2016  # dpkg-deb's own variables
    dpkg-deb -W --showformat '${Package} ${Version}\n' "$package"
done >"$work/list"
mkdir -p "$peers/root.new/proc" "$peers/root.new/sys" "$peers/root.new/dev" "$peers/root.new/run" \
    "$peers/root.new/tmp" "$peers/root.new/root" "$peers/root.new/var/tmp" "$peers/root.new/etc"
ln -sf dash "$peers/root.new/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$peers/root.new/etc/passwd"
printf 'root:x:0:\n' >"$peers/root.new/etc/group"
rm -rf "$peers/root"
mv "$peers/root.new" "$peers/root"
mv "$work/list" "$peers/list"
grep -E '^(docker.io|docker-buildx|buildah|containerd|runc|crun) ' "$peers/list" >&2
say "unpacked into $peers/root"
