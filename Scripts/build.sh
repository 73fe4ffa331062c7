#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Builds galley for release. Swift's own libraries are linked in: the binary then starts faster
# and needs no Swift where it runs. Nothing looks its symbols up by name: the 45,000 that would be
# exported, as plug-ins need it, cost a millisecond of every start.
set -eu
. "$(dirname "$0")/common.sh"

Scripts/deps.sh build
require_swift
swift build -c release --static-swift-stdlib --product galley -Xlinker --no-export-dynamic
say "built: .build/release/galley"
