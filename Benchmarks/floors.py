# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""The same work by the simplest program that does it: what no builder can be expected to beat by much."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Callable

from cost import Command
from machine import run


@dataclass
class Floor:
    text: str
    command: Callable[[], Command]
    prepare: Callable[[], None] = lambda: None


def shell(text, script, *arguments, prepare=lambda: None):
    return Floor(text, lambda: Command(["sh", "-c", script, "sh", *arguments]), prepare)


def copy(source, folder):
    """cp -a to a place that is empty each time."""
    target = folder / "copied"
    return shell("cp -a", 'cp -a "$1" "$2"', source, target, prepare=lambda: erase(target))


def erase(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def look(folder):
    return shell("find and stat", 'find "$1" -printf "%p %s %T@ %m\\n" >/dev/null', folder)


def compress(source, folder):
    """igzip (Debian: isal) on one core, else gzip."""
    target = folder / "compressed"
    if shutil.which("igzip"):
        return shell("igzip", 'igzip -c "$1" >"$2"', source, target)
    return shell("gzip -6", 'gzip -6 -c "$1" >"$2"', source, target)


def zstd(source, folder):
    if not shutil.which("zstd"):
        return None
    return shell("zstd -3 -T0", 'zstd -q -f -3 -T0 "$1" -o "$2"', source, folder / "compressed")


def download(registry, repository, folder):
    """curl into tar, two layers at a time."""
    if not shutil.which("curl"):
        return None
    target = folder / "unpacked"
    script = 'address=$1; target=$2; shift 2; mkdir -p "$target"; printf "%s\\n" "$@" | xargs -P 2 -I DIGEST sh -c '
    script += "'mkdir \"$0/DIGEST\" && curl -sf \"$1/DIGEST\" | tar -xz -C \"$0/DIGEST\"' \"$target\" \"$address\""
    digests = [digest for digest, _ in registry.layers(repository)]
    address = f"http://{registry.address}/v2/{repository}/blobs"
    return shell("curl into tar -xz, two at a time", script, address, target, *digests, prepare=lambda: erase(target))


class Container:
    """Commands in crun, on a tree that lies there already."""

    def __init__(self, archive, folder):
        self.bundle = folder
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "rootfs").mkdir(parents=True)
        run(["tar", "-xf", archive, "-C", folder / "rootfs"])
        self.works = bool(shutil.which("crun")) and self.try_it()

    def try_it(self):
        command = self.command(["/bin/true"])
        return subprocess.run(command.words, capture_output=True).returncode == 0

    def command(self, words, folder="/", times=1):
        specification = {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "user": {"uid": 0, "gid": 0},
                "args": words,
                "cwd": folder,
                "env": ["PATH=/go/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "GOPATH=/go",
                        "GOTOOLCHAIN=local"],
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
        }
        (self.bundle / "config.json").write_text(json.dumps(specification))
        one = f"crun --root {self.bundle}/state --cgroup-manager=disabled run --bundle {self.bundle} floor"
        # crun refuses the hybrid cgroup tree of some machines, even when it is to leave cgroups alone.
        script = "mount -t cgroup2 none /sys/fs/cgroup && "
        script += f"i=0; while [ $i -lt {times} ]; do {one} || exit; i=$((i + 1)); done"
        return Command(["unshare", "--mount", "sh", "-c", script], dict(os.environ))
