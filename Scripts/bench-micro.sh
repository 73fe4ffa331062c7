#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Measures what is small and hot in a release build, and checks how often it asks for memory against
# Benchmarks/Micro/allocations.txt: counts do not depend on the machine's mood. --update writes that file anew; other
# arguments go to the program, for instance --only parse or --json out/micro.json.
set -eu
. "$(dirname "$0")/common.sh"

limits=Benchmarks/Micro/allocations.txt
Scripts/deps.sh build
require_swift
swift build -c release --static-swift-stdlib --product MicroBenchmarks >&2
program=.build/release/MicroBenchmarks
case ${1:-} in
--update) exec "$program" --update "$limits" ;;
--only) exec "$program" "$@" ;;
*) exec "$program" --check "$limits" "$@" ;;
esac
