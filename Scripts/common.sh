# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Sourced by the other scripts: starts them in the checkout's root and gives them a voice.

set -eu
cd "$(dirname "$0")/.."

say() {
    printf '%s\n' "$*" >&2
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The folder that keeps downloads and base images' file trees between runs.
bases_cache() {
    printf '%s\n' "${GALLEY_BASES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/galley-bases}"
}

# The folder of the builders that `make bench` compares with, which `make bench-peers` fills.
bench_peers() {
    printf '%s\n' "${GALLEY_BENCH_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/galley-bench/peers}"
}

# Stops unless Swift 6.2 or newer is on PATH.
require_swift() {
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    major=${version% *}
    minor=${version#* }
    if [ -z "$version" ] || [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 2 ]; }; then
        die "Swift 6.2 or newer is needed on PATH (found: ${version:-none}); see https://www.swift.org/install/linux/"
    fi
}

# The ordinary user of tests, made when it does not exist; nothing when that is not possible here.
test_user() {
    user=galley-test
    if [ "$(id -u)" -ne 0 ] || ! command -v useradd >/dev/null || ! command -v newuidmap >/dev/null; then return; fi
    id "$user" >/dev/null 2>&1 || useradd --system --shell /bin/sh "$user" >&2
    for file in /etc/subuid /etc/subgid; do
        grep -q "^$user:" "$file" 2>/dev/null || printf '%s:100000:65536\n' "$user" >>"$file"
    done
    printf '%s\n' "$user"
}

# How many end-to-end tests run at once.
test_width() { echo $(($(nproc) * 2 + 1)); }
