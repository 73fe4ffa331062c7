#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# The checks that need no build of galley: format, module layers, shell scripts, the benchmarks' own tests. Runs all
# of them, then says whether one failed.
set -eu
. "$(dirname "$0")/common.sh"

failed=
Scripts/format.sh --check || failed="$failed format"
Scripts/layer-check || failed="$failed layers"
Scripts/layer-check-test.sh || failed="$failed layer-check-test"
if command -v shellcheck >/dev/null 2>&1; then
    shellcheck --external-sources --source-path=SCRIPTDIR Scripts/*.sh .ci/run || failed="$failed shellcheck"
else
    say "shellcheck is not installed: the shell scripts were not checked"
fi
# Where init waits for a container's program its libraries are gone, so the compiler may not call one either.
object=$(mktemp)
for level in -O0 -O2; do
    clang "$level" -fPIC -ISources/CLinux/include -c -o "$object" Sources/CLinux/supervisor.c
    [ -z "$(nm -u "$object")" ] || failed="$failed supervisor.c($level)"
done
rm -f "$object"
python3 -m unittest discover -q -s Benchmarks || failed="$failed benchmarks"
[ -z "$failed" ] || die "failed:$failed"
say "lint: no complaints"
