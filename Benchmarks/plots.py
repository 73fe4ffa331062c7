#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Draws what scale.py measured, one SVG per family; needs matplotlib (Debian: python3-matplotlib).

    plots.py FILE.json FOLDER
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "galley"  # the same figures, the same file
matplotlib.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot  # noqa: E402

PANELS = (("wall", "seconds"), ("cpu", "seconds of processor time"), ("peak", "MiB resident at the peak"))
STYLES = ("o-", "s-", "^-", "v-", "D-")


def draw(family, path):
    figure, panels = pyplot.subplots(1, len(PANELS), figsize=(13, 4), layout="constrained")
    for axes, (what, label) in zip(panels, PANELS):
        for style, (name, points) in zip(STYLES, family["series"].items()):
            axes.plot([p["size"] for p in points], [p[what] for p in points], style, label=name, markersize=4)
        # Zero has no place on a logarithmic axis: it is drawn on a linear stretch left of the smallest size.
        smallest = min(p["size"] for points in family["series"].values() for p in points)
        if smallest > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=100)
        if what == "peak":
            axes.set_ylim(bottom=0)
        else:
            axes.set_yscale("log")
            diagonal(axes, family)
        if what in family["bounds"]:
            axes.axhline(family["bounds"][what], color="grey", linestyle="--", linewidth=1)
        axes.set_xlabel(family["axis"])
        axes.set_title(label, fontsize="medium")
        axes.grid(True, which="major", alpha=0.3)
    panels[0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def diagonal(axes, family):
    """Two dotted lines of linear growth to hold the curves against."""
    sizes = sorted({p["size"] for points in family["series"].values() for p in points if p["size"] > 0})
    if len(sizes) < 2:
        return
    limits = axes.get_ylim()
    for share in (1.0, 0.03):
        top = limits[1] * share
        axes.plot([sizes[0], sizes[-1]], [top * sizes[0] / sizes[-1], top], ":", color="grey", linewidth=1)
    axes.set_ylim(limits)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    report = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, family in report["families"].items():
        draw(family, folder / f"scale-{name}.svg")


if __name__ == "__main__":
    main()
