# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Where to measure: an ext4 of its own with a journal, in a namespace that takes every mount and process with it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from machine import run

MARK = "GALLEY_BENCH_NAMESPACE"


def enter_namespace():
    """Starts this program again in mount and process namespaces: what it starts and mounts ends with it, always."""
    if MARK in os.environ:
        # The first process of a namespace ignores what it has no handler for.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        return
    if os.geteuid() != 0:
        return
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
        os.environ[MARK] = "1"
        os.execvp(words[0], [*words, sys.executable, *sys.argv])


@contextlib.contextmanager
def scratch(gigabytes):
    """A folder to measure in. With no loop device to be had it is an ordinary one, which is said."""
    with tempfile.TemporaryDirectory(prefix="galley-bench-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        mounted = MARK in os.environ and mount(folder, gigabytes)
        if not mounted:
            print("bench: no file system of its own could be mounted: measuring in", folder, file=sys.stderr)
        try:
            yield folder
        finally:
            if mounted:
                subprocess.run(["umount", "-l", name], capture_output=True)


def mount(folder, gigabytes):
    image = folder.with_suffix(".ext4")
    try:
        with open(image, "wb") as file:
            file.truncate(gigabytes << 30)
        run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image])
        # Direct: else what is written goes through the page cache twice, and waits for the slower of two writers.
        for direct in (["--direct-io=on"], []):
            command = ["losetup", "--find", "--show", *direct, image]
            attached = subprocess.run(command, capture_output=True, text=True)
            if attached.returncode == 0:
                break
        else:
            return False
        device = attached.stdout.strip()
        mounted = subprocess.run(["mount", "-o", "noatime", device, folder], capture_output=True).returncode == 0
        # It goes with the mount.
        subprocess.run(["losetup", "--detach", device], capture_output=True)
        return mounted
    except (OSError, SystemExit):
        return False
    finally:
        # The loop device holds the file for as long as it is mounted.
        image.unlink(missing_ok=True)


def settle():
    """Waits until what was written and deleted has reached the disk."""
    os.sync()


def read_all(folder):
    """The first read of a tree is up to ten times slower than any later one."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                while file.read(1 << 20):
                    pass
