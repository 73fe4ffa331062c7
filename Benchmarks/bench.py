#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Times whole builds with galley and, where it is installed, buildah: the same context, taking turns.

    bench.py --galley PATH --bases FOLDER [--runs N] [--files N] [--only WORD] [--json FILE]

Every builder has a store of its own in a temporary folder, with the same base images. Prints a Markdown table.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
BASES = {"alpine": "alpine:latest", "golang": "golang:1.21-alpine"}


class Galley:
    name = "galley"

    def __init__(self, binary, folder):
        self.binary = str(binary)
        os.environ["GALLEY_ROOT"] = str(folder / "galley")
        self.version = "galley " + run([self.binary, "version", "--format", "{{.Client.Version}}"]).strip()

    def add_base(self, context, tag):
        run(self.command(context, tag))

    def command(self, context, tag, cached=True):
        options = [] if cached else ["--no-cache"]
        return [self.binary, "build", "-q", *options, "-t", tag, str(context)]

    def stop(self):
        pass


class Buildah:
    name = "buildah"

    def __init__(self, folder):
        self.root, self.isolation = folder / "buildah", "oci"
        self.version = run(["buildah", "--version"]).strip()

    def store(self):
        return ["buildah", "--root", str(self.root / "root"), "--runroot", str(self.root / "run")]

    def add_base(self, context, tag):
        # The full name keeps buildah from looking at registries.
        run(self.command(context, f"docker.io/library/{tag}"))
        self.choose_isolation(context)

    def choose_isolation(self, context):
        """An OCI runtime where one works, else chroot: some machines let no runtime start."""
        base = BASES[pathlib.Path(context).name]
        probe = self.root / "probe"
        probe.mkdir(parents=True, exist_ok=True)
        (probe / "Dockerfile").write_text(f"FROM docker.io/library/{base}\nRUN true\n")
        for self.isolation in ("oci", "chroot"):
            if subprocess.run(self.command(probe, "probe", cached=False), capture_output=True).returncode == 0:
                return
        raise SystemExit("bench: buildah runs no step here, neither with an OCI runtime nor with chroot")

    def command(self, context, tag, cached=True):
        options = ["--layers", "--pull-never", "--isolation", self.isolation, "--network", "host", "--quiet"]
        if not cached:
            options.append("--no-cache")
        for runtime in ("crun", "runc"):
            if shutil.which(runtime):
                options += ["--runtime", shutil.which(runtime)]
                break
        return [*self.store(), "bud", *options, "-t", tag, str(context)]

    def stop(self):
        # Its storage driver leaves one bind mount behind.
        subprocess.run(["umount", "-l", str(self.root / "root" / "overlay")], capture_output=True)


def run(command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def timed(command):
    started = time.perf_counter()
    run(command)
    return time.perf_counter() - started


def rewrite(path, marker):
    """Changes one line; the length stays the same, so that only content and times tell."""
    text = path.read_text().split("\n")
    text[-2] = f"// {marker:012d}"
    path.write_text("\n".join(text))


class GoExample:
    """The two-stage Dockerfile of examples/go."""

    def __init__(self, folder):
        self.context = folder / "go"
        shutil.copytree(REPOSITORY / "examples/go", self.context)
        source = self.context / "main.go"
        source.write_text(source.read_text() + "// edited by the benchmark\n")
        self.edits = 0

    def edit(self):
        self.edits += 1
        rewrite(self.context / "main.go", self.edits)

    workloads = [
        ("go: first build (--no-cache)", dict(cached=False)),
        ("go: nothing changed", dict()),
        ("go: one line of main.go changed", dict(edit=True)),
    ]


class ManyFiles:
    """Thousands of files of 4 KiB in 500 directories, copied onto alpine."""

    def __init__(self, folder, count):
        self.context = folder / "files"
        self.edits = 0
        directories = min(500, count)
        for number in range(count):
            directory = self.context / "tree" / f"d{number % directories:03d}"
            if number < directories:
                directory.mkdir(parents=True)
            (directory / f"f{number // directories:03d}.txt").write_bytes(f"{number:07d}\n".encode() * 512)
        (self.context / "Dockerfile").write_text("FROM alpine\nCOPY . /src\n")
        self.workloads = [
            (f"{count} files: first build (--no-cache)", dict(cached=False)),
            (f"{count} files: nothing changed", dict()),
            (f"{count} files: one file changed", dict(edit=True)),
        ]

    def edit(self):
        self.edits += 1
        (self.context / "tree/d000/f000.txt").write_bytes(f"{self.edits:07d}\n".encode() * 512)


def measure(project, builders, runs, only):
    """Seconds per workload and builder. Within one run the builders take turns, so that both see the same machine."""
    results = {}
    for label, options in project.workloads:
        if only not in label:
            continue
        for builder in builders:
            run(builder.command(project.context, "bench"))  # what the timed builds may find in the cache
        for turn in range(runs):
            if options.get("edit"):
                project.edit()
            for builder in builders if turn % 2 == 0 else reversed(builders):
                os.sync()
                command = builder.command(project.context, "bench", options.get("cached", True))
                results.setdefault(label, {}).setdefault(builder.name, []).append(timed(command))
        print(f"measured: {label}", file=sys.stderr)
    return results


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
    return run(["stat", "-f", "-c", "%T", folder]).strip()


def commit():
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def summary(seconds):
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds), "seconds": seconds}


def table(report):
    names = list(report["builders"])
    lines = ["| workload | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for label, by_builder in report["workloads"].items():
        cells = [f"{r['median']:.3f} s ({r['min']:.3f} to {r['max']:.3f})" for r in by_builder.values()]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    host = report["machine"]
    lines += [
        "",
        f"Medians of {report['runs']} runs (fastest to slowest), builders taking turns. {host['processor']}, "
        f"{host['cores']} cores, {host['memory_gib']} GiB, {host['system']}, kernel {host['kernel']}, "
        f"{report['file_system']}. Galley commit {report['commit']}.",
    ]
    lines += [f"- {name}: {version}" for name, version in report["builders"].items()]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galley", type=pathlib.Path, help="without it only buildah is timed")
    parser.add_argument("--bases", required=True, type=pathlib.Path, help="the cache folder of `make bases`")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--only", default="", help="workloads whose name holds this")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.runs < 1 or options.files < 1:
        parser.error("--runs and --files must be at least 1")

    builders = []
    with tempfile.TemporaryDirectory(prefix="galley-bench-", ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        try:
            if options.galley:
                builders.append(Galley(options.galley.resolve(), folder))
            if shutil.which("buildah"):
                builders.append(Buildah(folder))
            for builder in builders:
                for base, tag in BASES.items():
                    builder.add_base(options.bases / base, tag)
            results = {}
            for project in (GoExample(folder), ManyFiles(folder, options.files)):
                results.update(measure(project, builders, options.runs, options.only))
            report = {
                "commit": commit(),
                "runs": options.runs,
                "machine": machine(),
                "file_system": file_system(folder),
                "builders": {builder.name: builder.version for builder in builders},
                "workloads": {
                    label: {name: summary(seconds) for name, seconds in by_builder.items()}
                    for label, by_builder in results.items()
                },
            }
        finally:
            for builder in builders:
                builder.stop()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))


if __name__ == "__main__":
    main()
