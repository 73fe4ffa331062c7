#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

# Installs the Debian packages that the named purposes need and that are not there yet:
#   Scripts/deps.sh build|run|bases|test|lint|plots|bench...
# On systems that are not Debian it prints the list and stops; GALLEY_SKIP_DEPS=1 goes on without looking.
set -eu
. "$(dirname "$0")/common.sh"

# What SwiftPM calls (compiler driver, linker, git), and the C libraries that Package.swift names.
build='gcc g++ libc6-dev binutils git ca-certificates pkg-config zlib1g-dev
    libdeflate-dev libisal-dev libzstd-dev liblzma-dev libbz2-dev libsqlite3-dev'
# uidmap: builds by ordinary users. golang-github-containers-common: the seccomp profile.
run='uidmap git ca-certificates golang-github-containers-common'
bases='python3 python3-pip mmdebstrap debian-archive-keyring uidmap util-linux'
test='skopeo umoci buildah docker-registry apache2-utils openssl openssh-client attr tar unzip zstd bzip2 xz-utils
    procps qemu-user-static busybox-static crun runc'
lint='shellcheck python3'
plots='python3 python3-matplotlib'
# The registry that all builders pull from, and the simple programs that are measured beside them.
bench='python3 docker-registry util-linux mount e2fsprogs tar gzip zstd isal curl'

[ $# -gt 0 ] || die "usage: Scripts/deps.sh build|run|bases|test|lint|plots|bench..."
[ "${GALLEY_SKIP_DEPS:-}" != 1 ] || exit 0

wanted=
for purpose in "$@"; do
    case $purpose in
    build) wanted="$wanted $build" ;;
    run) wanted="$wanted $run" ;;
    bases) wanted="$wanted $bases" ;;
    test) wanted="$wanted $run $bases $test" ;;
    lint) wanted="$wanted $lint" ;;
    plots) wanted="$wanted $plots" ;;
    bench) wanted="$wanted $bench" ;;
    *) die "no such purpose: $purpose (build, run, bases, test, lint, plots, bench)" ;;
    esac
done
# One container runtime is enough; runc lives in /usr/sbin, which is not on every user's PATH.
case " $* " in
*' run '* | *' test '*)
    if ! PATH="$PATH:/usr/sbin" command -v crun >/dev/null && ! PATH="$PATH:/usr/sbin" command -v runc >/dev/null; then
        wanted="$wanted crun"
    fi
    ;;
esac

is_debian() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-query >/dev/null 2>&1 && [ -r /etc/os-release ] &&
        grep -Eq '^ID(_LIKE)?=.*debian' /etc/os-release
}

if ! is_debian; then
    say "This is not a Debian system. What these Debian packages hold is needed:"
    # shellcheck disable=SC2086  # a list
    printf '  %s\n' $wanted | sort -u >&2
    die "packages missing; with these in place, run this again with GALLEY_SKIP_DEPS=1"
fi

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
        die "these packages are missing, and there is no sudo to install them with; as root: apt-get install$missing"
    as_root='sudo'
fi

say "installing:$missing"
$as_root apt-get update -q >&2
# shellcheck disable=SC2086  # lists
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2

# Debian starts services as it installs them. The tests start registries of their own.
case $missing in
*docker-registry*)
    if [ -d /run/systemd/system ]; then
        say "stopping the docker-registry service that its package may just have started"
        $as_root systemctl disable --now docker-registry.service >&2
    fi
    ;;
esac
