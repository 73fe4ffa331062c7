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
python3 -m unittest discover -q -s Benchmarks || failed="$failed benchmarks"
[ -z "$failed" ] || die "failed:$failed"
say "lint: no complaints"
