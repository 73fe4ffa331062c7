# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""That nothing which works for a command is forgotten, and what WORKLOAD means."""

import subprocess
import sys
import time
import unittest

import workloads
from cost import Command, measure, rest

# Holds 100 MiB and uses the processor in a grandchild, which says so before it goes on.
WORK = "x = bytearray(100 << 20); import time; s = time.process_time()\nwhile time.process_time() < s + 0.1: pass"
SERVE = f"""
import subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, "-c", {WORK!r}])
    print(1, flush=True)
"""


class Costs(unittest.TestCase):
    def test_children_count(self):
        cost = measure(Command(["sh", "-c", '"$0" -c "$1"; true', sys.executable, WORK]))
        self.assertGreater(cost.peak, 100)
        self.assertGreater(cost.cpu, 0.1)
        self.assertGreaterEqual(cost.wall, 0.1)

    def test_daemons_and_their_children_count(self):
        daemon = subprocess.Popen([sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with daemon:
            ask = f"echo >/proc/{daemon.pid}/fd/0; read -r answer </proc/{daemon.pid}/fd/1"
            cost = measure(Command(["sh", "-c", ask]), [daemon.pid])
            daemon.stdin.close()
        self.assertGreater(cost.peak, 100)
        self.assertGreater(cost.cpu, 0.1)

    def test_rests_when_the_daemon_does(self):
        busy = "import time; s = time.process_time()\nwhile time.process_time() < s + 1: pass\ntime.sleep(60)"
        with subprocess.Popen([sys.executable, "-c", busy]) as daemon:
            started = time.monotonic()
            self.assertFalse(rest([daemon.pid], patience=0.3, look=0.1))
            self.assertTrue(rest([daemon.pid], look=0.1))
            self.assertGreater(time.monotonic() - started, 1)
            daemon.kill()
        self.assertTrue(rest([]))

    def test_failures_end_the_benchmark(self):
        with self.assertRaisesRegex(SystemExit, "exited with 3\nwhy"):
            measure(Command(["sh", "-c", "echo why; exit 3"]))


class Chosen(unittest.TestCase):
    def test_words(self):
        self.assertEqual(len(workloads.chosen("")), 10)
        self.assertEqual(workloads.chosen("w4"), {workloads.W4: None})
        self.assertEqual(workloads.chosen("W4b,W4c"), {workloads.W4: ("W4b", "W4c")})
        self.assertEqual(workloads.chosen("W10a"), {workloads.W10: ("W10a",)})
        self.assertEqual(workloads.chosen("W4,W4b"), {workloads.W4: None})

    def test_unknown(self):
        for word in ("W11", "x", "b"):
            with self.subTest(word), self.assertRaises(ValueError):
                workloads.chosen(word)


if __name__ == "__main__":
    unittest.main()
