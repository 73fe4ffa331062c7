#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Times builds of the release binary beside its peers: what `make bench-peers` has unpacked, else the installed
# buildah. The table goes to standard output, all numbers to out/bench.json. Arguments go to Benchmarks/bench.py, for
# instance: Scripts/bench.sh --workload W4 --runs 5. Root has to run it.
# With `scale` as the first argument: how time and memory grow, by Benchmarks/scale.py, with plots.
set -eu
. "$(dirname "$0")/common.sh"

what=compare
if [ "${1:-}" = scale ]; then
    what=scale
    shift
fi
Scripts/deps.sh build run bases
if [ "$what" = scale ]; then
    Scripts/deps.sh plots
else
    [ "$(id -u)" -eq 0 ] || die "the comparison mounts a file system and starts daemons: run it as root"
    Scripts/deps.sh bench
fi
Scripts/build.sh
cache=$(bases_cache)
mkdir -p "$cache"
GALLEY_BASES=stand-in GALLEY=.build/release/galley GALLEY_ROOT="$cache/store" Scripts/bases.sh >&2
if [ "$what" = scale ]; then
    python3 Benchmarks/scale.py --galley .build/release/galley --bases "$cache" --json out/scale.json \
        --plots Benchmarks/plots "$@"
else
    python3 Benchmarks/bench.py --galley .build/release/galley --bases "$cache" --peers "$(bench_peers)" \
        --json out/bench.json "$@"
fi
