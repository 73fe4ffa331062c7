#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Builds everything for debugging and runs all tests. The tests get:
#   GALLEY_TEST_BINARY  the galley that the end-to-end tests run (set it to test another build than the debug one)
#   GALLEY_TEST_BASES   the folder of stand-in base images: <name>/Dockerfile and <name>/rootfs.tar
#   GALLEY_TEST_STORE   a store root in which these images are tagged already
#   GALLEY_TEST_USER    an ordinary user with subordinate ids, made here when root runs the tests
# Arguments go to 'swift test', for instance: Scripts/test.sh --filter RegistryTests
set -eu
. "$(dirname "$0")/common.sh"

Scripts/deps.sh build test
require_swift
swift build --build-tests

GALLEY_TEST_BINARY=${GALLEY_TEST_BINARY:-$(swift build --show-bin-path)/galley}
GALLEY_TEST_BASES=$(bases_cache)
GALLEY_TEST_STORE=$GALLEY_TEST_BASES/store
mkdir -p "$GALLEY_TEST_BASES"
# Always stand-ins: what the tests see must not depend on the network of the day.
GALLEY_BASES=stand-in GALLEY="$GALLEY_TEST_BINARY" GALLEY_ROOT="$GALLEY_TEST_STORE" Scripts/bases.sh

Scripts/foreign.sh || say 'no busybox for arm64: the tests of foreign platforms are skipped'

GALLEY_TEST_USER=$(test_user)
export GALLEY_TEST_BINARY GALLEY_TEST_BASES GALLEY_TEST_STORE GALLEY_TEST_USER
if [ $# -gt 0 ]; then
    exec swift test --skip-build "$@"
fi

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# One process of tests; what failed is told again at the end, where it is found below thousands of lines.
run_tests() {
    { swift test --skip-build "$@" 2>&1 || echo "swift test $*" >>"$logs/failed"; } | tee -a "$logs/output"
}

# Several processes: containers and mounts of one must not be inherited by, or seen from, the children of another.
# And what computes for long keeps the threads that all tests of its process share.
run_tests --skip EndToEndTests --skip ExecutorTests --skip ExportersTests --skip BuildOpsTests --skip ArchiveTests
for suite in ArchiveTests BuildOpsTests ExecutorTests ExportersTests; do
    run_tests --filter "$suite"
done
# Each of these starts several programs: all at once would be hundreds, and every time limit would be for nothing.
run_tests --filter EndToEndTests --experimental-maximum-parallelization-width "$(test_width)"

[ -s "$logs/failed" ] || exit 0
say '== what failed'
grep -aE '^(✘|↳)|: error: |Fatal error' "$logs/output" | grep -avE '^↳ (Testing Library|Target Platform)' >&2 || true
die "$(cat "$logs/failed")"
