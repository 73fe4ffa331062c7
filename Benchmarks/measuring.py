# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""One process: how long it took, what processor time it used, how much memory it held; and how figures grow.

Peak memory is ru_maxrss of wait4: the largest resident set that the process, or any one of the children it waited
for, had at any time. The kernel counts it, so no peak falls between two samples. It also counts what the process was
before it became galley, a copy of this Python: nothing below `floor()` can be told apart. Shared pages (the program
file, mapped databases) count as resident.
"""

import dataclasses
import math
import os
import resource
import subprocess
import tempfile
import time

LINEAR = 1.15
"""The largest exponent that is called linear: room for noise, and for the logarithm in a sort or a B-tree."""


@dataclasses.dataclass
class Measurement:
    """What one process cost, with the children that it waited for."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    peak: float  # MiB


def floor():
    """The peak in MiB below which `measure` sees only this interpreter."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(command, environment=None):
    """Runs a command to its end; a failure is the end of the benchmark."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")[-4000:]
            raise SystemExit(f"{' '.join(words)}\nexited with {process.returncode}\n{text}")
    return Measurement(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def upper_half(points):
    """The larger half of the (size, value) points, at least three of them; sizes that are not positive are left out."""
    usable = sorted((size, value) for size, value in points if size > 0 and value > 0)
    return usable[-max(3, math.ceil(len(usable) / 2)) :]


def exponent(points):
    """The b of value = a * size^b, by least squares over the logarithms of the upper half; None of fewer than two."""
    logarithms = [(math.log(size), math.log(value)) for size, value in upper_half(points)]
    if len(logarithms) < 2:
        return None
    middle_x = sum(x for x, _ in logarithms) / len(logarithms)
    middle_y = sum(y for _, y in logarithms) / len(logarithms)
    spread = sum((x - middle_x) ** 2 for x, _ in logarithms)
    if spread == 0:
        return None
    return sum((x - middle_x) * (y - middle_y) for x, y in logarithms) / spread
