# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""What the figures were measured on, and how a command that is not measured is run."""

import os
import pathlib
import platform
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent


def run(command, environment=None):
    """Runs a command to its end and returns its output; a failure is the end of the benchmark."""
    words = [str(word) for word in command]
    result = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    if result.returncode != 0:
        raise SystemExit(f"bench: {' '.join(words)}\nexited with {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
    }


def file_system(folder):
    return run(["findmnt", "-n", "-o", "FSTYPE", "-T", folder]).strip()


def commit():
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def python_with_matplotlib():
    """Plots are drawn in a process of their own: matplotlib here would raise the floor of what can be measured."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import matplotlib"], capture_output=True).returncode == 0:
            return python
    raise SystemExit("--plots needs matplotlib (Debian: apt-get install python3-matplotlib)")
