#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Builds galley for release. Swift's own libraries are linked in: the binary then starts faster
# and needs no Swift where it runs.
set -eu
. "$(dirname "$0")/common.sh"

Scripts/deps.sh build
require_swift
swift build -c release --static-swift-stdlib --product galley
say "built: .build/release/galley"
