# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""The tree that `make bench-peers` unpacked, as the root of a mount namespace in which its programs run."""

import os
import subprocess

# A real root, not a chroot: runtimes call pivot_root, which refuses a chroot. A cgroup2 mount of its own, because
# what runs steps expects a pure one; the runtime leaves cgroups alone, as Galley does.
ENTER = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount --rbind /dev "$1/dev"
mount --bind /proc "$1/proc"
mount --bind /sys "$1/sys"
mount -t cgroup2 none "$1/sys/fs/cgroup"
mount -t tmpfs none "$1/run"
mount -t tmpfs none "$1/tmp"
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
mkdir -p "$1/.old"
cd "$1"
pivot_root . .old
cd /
umount -l /.old
echo ready
read -r word || true
"""


class PeerRoot:
    """Programs of the tree see it as /, and the benchmark's folder where it is."""

    def __init__(self, tree, folder):
        command = ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(tree), str(folder)]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != b"ready\n":
            raise OSError(f"the peers' tree cannot be entered: {self.holder.stderr.read().decode().strip()}")
        self.environment = {"PATH": "/usr/sbin:/usr/bin", "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
        for name in ("home", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self.runtime = folder / "crun"
        self.runtime.write_text('#!/bin/sh\nexec /usr/bin/crun --cgroup-manager=disabled "$@"\n')
        self.runtime.chmod(0o755)

    def words(self, *command):
        return ["/usr/bin/nsenter", f"--target={self.holder.pid}", "--mount", *map(str, command)]

    def stop(self):
        self.holder.stdin.close()
        self.holder.wait()


def versions(peers):
    """Of Debian's packages, by name."""
    try:
        return dict(line.split() for line in open(os.path.join(peers, "list")))
    except OSError:
        return {}
