# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""What a command cost, with everything that worked for it: its children, and a daemon and that one's children.

Processor time: what wait4 says of the command, and the growth of the daemons' own and waited-for time. Peak memory:
the largest sum of resident sets, sampled, of the command, the daemons and all their descendants. Shared pages count
for each process that has them.
"""

import dataclasses
import os
import subprocess
import tempfile
import threading
import time

PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Command:
    words: list
    environment: dict = None


@dataclasses.dataclass
class Cost:
    wall: float  # seconds
    cpu: float  # seconds
    peak: float  # MiB


def stat(pid):
    """Fields of /proc/PID/stat after the name, or None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b") ", 1)[1].split()
    except OSError:
        return None


class Tree:
    """Processes and their descendants; one that loses its parent still belongs here."""

    def __init__(self, roots):
        self.members = set(roots)
        self.strangers = set()
        self.look()

    def look(self):
        """Takes in new processes. Process ids of strangers are asked once; a reused one may be missed."""
        alive = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self.members &= alive
        self.strangers &= alive
        # Ascending, so that parents mostly come before their children.
        for pid in sorted(alive - self.members - self.strangers):
            fields = stat(pid)
            if fields is not None:
                (self.members if int(fields[1]) in self.members else self.strangers).add(pid)

    def resident(self):
        """MiB now."""
        pages = 0
        for pid in self.members:
            fields = stat(pid)
            pages += int(fields[21]) if fields else 0
        return pages * PAGE / 2**20

    def cpu(self):
        """Seconds so far, of those that live and those that they waited for."""
        ticks = 0
        for pid in self.members:
            fields = stat(pid)
            ticks += sum(int(field) for field in fields[11:15]) if fields else 0
        return ticks / TICK


class Sampler(threading.Thread):
    """Follows a tree, at a pace that takes no more than a twentieth of one core."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.tree = Tree(roots)
        self.peak = self.tree.resident()
        self.ended = threading.Event()

    def run(self):
        pause = 0.004
        while not self.ended.wait(pause):
            started = time.thread_time()
            self.tree.look()
            self.peak = max(self.peak, self.tree.resident())
            pause = max(0.004, 20 * (time.thread_time() - started))


def rest(daemons, patience=30.0, look=0.25):
    """Waits until daemons do nothing any more for what their last clients asked. Returns whether they do."""
    tree = Tree(daemons)
    before, ending = tree.cpu(), time.monotonic() + patience
    while time.monotonic() < ending:
        time.sleep(look)
        tree.look()
        after = tree.cpu()
        # A daemon that waits wakes up now and then.
        if after - before <= 0.02:
            return True
        before = after
    return False


def measure(command, daemons=()):
    """Runs a command to its end; a failure is the end of the benchmark."""
    words = [str(word) for word in command.words]
    served = Tree(daemons)
    with tempfile.TemporaryFile() as output:
        before = served.cpu()
        started = time.perf_counter()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=command.environment
        )
        sampler = Sampler([process.pid, *daemons])
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        sampler.ended.set()
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")[-4000:]
            raise SystemExit(f"bench: {' '.join(words)}\nexited with {process.returncode}\n{text}")
    served.look()
    return Cost(wall, usage.ru_utime + usage.ru_stime + served.cpu() - before, sampler.peak)
