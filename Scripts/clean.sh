#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Removes what was built in this checkout. The local store and the cache folder are the user's: they stay.
set -eu
. "$(dirname "$0")/common.sh"

rm -rf .build out
say "kept: the local store, and the downloads in $(bases_cache)"
