#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Sets everything up, then shows what Galley is for: one Dockerfile, a fat kitchen, a thin image.
set -eu
. "$(dirname "$0")/common.sh"

Scripts/deps.sh build run bases
Scripts/build.sh
Scripts/bases.sh

PATH="$PWD/.build/release:$PATH"

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

size_of() {
    size=$(galley inspect --format '{{.Size}}' "$1") || die "cannot inspect $1"
    case $size in
    '' | *[!0-9]*) die "galley inspect said '$size' where the size of $1 was expected" ;;
    esac
    printf '%s\n' "$size"
}

show galley build -t my-optimized-app examples/go
show galley build --target builder -t my-app-build-only examples/go
show galley images
show galley run --rm my-optimized-app

thin=$(size_of my-optimized-app)
fat=$(size_of my-app-build-only)
awk -v thin="$thin" -v fat="$fat" 'BEGIN {
    if (fat <= 0) { exit 1 }
    printf "\nmy-app-build-only %.1f MB, my-optimized-app %.1f MB: %.1f %% saved\n",
        fat / 1e6, thin / 1e6, 100 * (1 - thin / fat)
}'
