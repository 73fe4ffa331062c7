#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Times builds of the release binary, beside buildah where it is installed. The table goes to standard output,
# all numbers to out/bench.json. Arguments go to Benchmarks/bench.py, for instance: Scripts/bench.sh --runs 3
# With `scale` as the first argument: how time and memory grow, by Benchmarks/scale.py, with plots.
set -eu
. "$(dirname "$0")/common.sh"

what=compare
if [ "${1:-}" = scale ]; then
    what=scale
    shift
fi
Scripts/deps.sh build run bases
[ "$what" != scale ] || Scripts/deps.sh plots
Scripts/build.sh
cache=$(bases_cache)
mkdir -p "$cache"
GALLEY_BASES=stand-in GALLEY=.build/release/galley GALLEY_ROOT="$cache/store" Scripts/bases.sh >&2
if [ "$what" = scale ]; then
    python3 Benchmarks/scale.py --galley .build/release/galley --bases "$cache" --json out/scale.json \
        --plots Benchmarks/plots "$@"
else
    python3 Benchmarks/bench.py --galley .build/release/galley --bases "$cache" --json out/bench.json "$@"
fi
