#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Formats all Swift files of this project in place, or checks them with --check.
set -eu
. "$(dirname "$0")/common.sh"

require_swift
mode='format --in-place'
case ${1:-} in
--check) mode='lint --strict' ;;
esac
# shellcheck disable=SC2086  # two words on purpose
find Package.swift Sources Tests Benchmarks -name '*.swift' -type f -print0 |
    xargs -0 swift format $mode --parallel --configuration .swift-format
