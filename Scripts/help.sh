#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Lists the Makefile's targets with the text after their '##'.
set -eu
. "$(dirname "$0")/common.sh"

printf 'usage: make TARGET\n\n'
awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $1, $2 }' Makefile
