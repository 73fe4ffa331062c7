# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# The one door. Every target is one script; the scripts explain themselves.
.DEFAULT_GOAL := help
.PHONY: build try test bases bench bench-micro bench-peers bench-scale format lint clean help

build: ## build galley (release) into .build/release/galley
	@Scripts/build.sh

try: ## set everything up, then build, list and run a two-stage image
	@Scripts/try.sh

test: ## run all tests
	@Scripts/test.sh

bases: ## make sure alpine, golang and debian base images are in the local store
	@Scripts/bases.sh

bench: ## measure builds beside other builders; WORKLOAD=W4 or W4b for a part
	@Scripts/bench.sh --workload "$(WORKLOAD)"

bench-micro: ## measure what is small and hot, and check how often it asks for memory
	@Scripts/bench-micro.sh

bench-peers: ## unpack the builders of Debian sid for the comparison
	@Scripts/bench-peers.sh

bench-scale: ## measure and plot how time and memory grow with the size of builds
	@Scripts/bench.sh scale

format: ## format all Swift files in place
	@Scripts/format.sh

lint: ## check format, module layers and shell scripts
	@Scripts/lint.sh

clean: ## remove what was built here (the store and the cache folder stay)
	@Scripts/clean.sh

help: ## list these targets
	@Scripts/help.sh
