#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Measures how time and memory grow with vertices, context files, layers and cache records.

    scale.py --galley PATH [--bases FOLDER] [--only FAMILY] [--max N] [--runs N] [--json FILE] [--plots FOLDER]

Prints a Markdown table per family, with the exponent of each series.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from families import CacheRecords, ContextFiles, Layers, Vertices
from growth import page, tables
from machine import commit, file_system, machine, python_with_matplotlib, run
from measuring import floor


def collect(family, galley, folder, sizes, runs):
    """{series: [{size, wall, cpu, peak: the medians; runs: all of them}]}"""
    measured = {}
    for series, size, measurement in family.points(galley, folder, sizes, runs):
        measured.setdefault(series, {}).setdefault(size, []).append(dataclasses.asdict(measurement))
        print(
            f"{family.name} {size}: {series}: {measurement.wall:.3f} s, {measurement.cpu:.3f} s of processor, "
            f"{measurement.peak:.0f} MiB",
            file=sys.stderr,
        )
    return {series: [point(size, measured[series][size]) for size in measured[series]] for series in measured}


def point(size, runs):
    medians = {what: statistics.median(run[what] for run in runs) for what in ("wall", "cpu", "peak")}
    return {"size": size, **medians, "runs": runs}


def write(report, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galley", required=True, type=pathlib.Path)
    parser.add_argument("--bases", type=pathlib.Path, help="the cache folder of `make bases`; layers need its alpine")
    parser.add_argument("--only", default="", help="vertices, files, layers or records")
    parser.add_argument("--max", type=int, help="no sizes above this")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="all figures, written after each family")
    parser.add_argument("--plots", type=pathlib.Path, help="for plots and the tables, scale.md; needs --json")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs must be at least 1")

    if options.plots and not options.json:
        parser.error("--plots draws what --json keeps")
    python = python_with_matplotlib() if options.plots else None

    families = [Vertices(), ContextFiles(), CacheRecords()]
    if options.bases:
        families.insert(2, Layers((options.bases / "alpine").resolve()))
    families = [family for family in families if options.only in ("", family.name)]
    if not families:
        parser.error(f"no such family: {options.only} (vertices, files, records, and with --bases layers)")

    galley = options.galley.resolve()
    report = {
        "commit": commit(),
        "version": run([galley, "version", "--format", "{{.Client.Version}}"]).strip(),
        "runs": options.runs,
        "machine": machine(),
        "floor": floor(),
        "families": {},
    }
    with tempfile.TemporaryDirectory(prefix="galley-scale-", ignore_cleanup_errors=True) as name:
        report["file_system"] = file_system(name)
        for family in families:
            sizes = [size for size in family.sizes if options.max is None or size <= options.max]
            if not sizes:
                continue
            folder = pathlib.Path(name) / family.name
            folder.mkdir()
            report["families"][family.name] = {
                "axis": family.axis,
                "about": family.about,
                "bounds": getattr(family, "bounds", {}),
                "series": collect(family, galley, folder, sizes, options.runs),
            }
            shutil.rmtree(folder)
            report["floor"] = floor()
            if options.json:
                write(report, options.json)
    print(tables(report))
    if options.plots:
        subprocess.run([python, pathlib.Path(__file__).parent / "plots.py", options.json, options.plots], check=True)
        (options.plots / "scale.md").write_text(page(report))


if __name__ == "__main__":
    main()
