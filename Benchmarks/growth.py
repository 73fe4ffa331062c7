# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""The figures of scale.py as Markdown: a table per family, sizes down, and below them how each column grows.

Growth counts in each of a cell's three figures: seconds, processor time, memory.
"""

from measuring import LINEAR, exponent

COLUMNS = {"wall": "{:.3f} s", "cpu": "{:.3f} s", "peak": "{:.0f} MiB"}


def page(report):
    """The tables with the plots, to be kept beside them."""
    parts = ["# How time and memory grow", "Made by `make bench-scale`; Benchmarks/README.md tells how it is measured."]
    for name, family in report["families"].items():
        parts += [f"## {family['axis'].capitalize()}", f"![{family['axis']}](scale-{name}.svg)", table(family)]
    return "\n\n".join([*parts, "## Conditions and findings", *conclusion(report)]) + "\n"


def tables(report):
    """All tables, and what they were measured on."""
    return "\n\n".join([*(table(family) for family in report["families"].values()), *conclusion(report)])


def conclusion(report):
    host = report["machine"]
    conditions = (
        f"Medians of {report['runs']} run(s): seconds from start to exit, seconds of processor time, "
        f"peak resident memory. Exponent: the b of cost = a * size^b over the upper half of the sizes. "
        f"{host['processor']}, {host['cores']} cores, {host['memory_gib']} GiB, {host['system']}, "
        f"kernel {host['kernel']}, {report['file_system']}. Galley {report['version']}, commit {report['commit']}."
    )
    complaints = [line for family in report["families"].values() for line in findings(family)]
    found = "\n".join(complaints) if complaints else f"No exponent is above {LINEAR}, and no bound is passed."
    return [conditions, found]


def table(family):
    series = family["series"]
    sizes = sorted({point["size"] for points in series.values() for point in points})
    lines = [
        f"{family['axis'].capitalize()}: {family['about']}.",
        "",
        f"| {family['axis']} | " + " | ".join(series) + " |",
        "| ---: |" + " ---: |" * len(series),
    ]
    for size in sizes:
        lines.append(f"| {size:,} | " + " | ".join(cell(points, size) for points in series.values()) + " |")
    lines.append("| exponent | " + " | ".join(exponents(points) for points in series.values()) + " |")
    return "\n".join(lines)


def cell(points, size):
    found = [point for point in points if point["size"] == size]
    return ", ".join(form.format(found[0][what]) for what, form in COLUMNS.items()) if found else ""


def growth(points, what):
    return exponent([(point["size"], point[what]) for point in points])


def exponents(points):
    values = (growth(points, what) for what in COLUMNS)
    return ", ".join("-" if value is None else mark(value) for value in values)


def mark(value):
    return f"**{value:.2f}**" if value > LINEAR else f"{value:.2f}"


def findings(family):
    """What grows faster than linearly, and what passed a bound."""
    for name, points in family["series"].items():
        for what in COLUMNS:
            value = growth(points, what)
            if value is not None and value > LINEAR:
                yield f"- {family['axis']}, {name}: {what} grows with exponent {value:.2f}"
            bound = family["bounds"].get(what)
            for point in points:
                if bound is not None and point[what] > bound:
                    yield f"- {family['axis']}, {name}: {what} {point[what]:.0f} at {point['size']:,}, bound {bound}"
