#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Proves that the layer check still sees violations: plants some in a copy, one at a time.
set -eu
. "$(dirname "$0")/common.sh"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

# Arguments: what is planted, a file of the copy, a line to append to it, words that the check must print.
planted() {
    mkdir "$copy/tree"
    cp -R Package.swift Sources Tests Benchmarks docs "$copy/tree/"
    printf '%s\n' "$3" >>"$copy/tree/$2"
    if output=$(Scripts/layer-check "$copy/tree" 2>&1); then
        die "the layer check overlooks $1"
    fi
    case $output in
    *"$4"*) ;;
    *) die "the layer check does not name $1, but: $output" ;;
    esac
    rm -rf "$copy/tree"
}

planted 'an import upwards' Sources/OCI/Planted.swift 'public import struct Builder.BuildRequest' \
    'OCI (L0) may not use Builder (L4)'
planted 'an undeclared import' Sources/Content/Planted.swift '@preconcurrency import Archive' \
    'Content does not declare Archive'
planted 'a library outside its module' Sources/Snapshots/Planted.swift 'import CSQLite' 'CSQLite belongs to Content alone'
planted 'the full Foundation' Sources/OCI/Planted.swift 'import Foundation' 'Foundation is slow to start'
planted 'an unknown library' Sources/OCI/Planted.swift 'import Planted' 'Planted is not in docs/layers.txt'
planted 'a module that is only drawn' docs/architecture.md 'L5  Planted' 'there is no module Planted'
