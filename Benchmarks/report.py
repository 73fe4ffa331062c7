# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Figures of a comparison as Markdown, and in the shape that plots.py draws."""

import statistics


def summary(costs, produced):
    """Medians and spread of the turns of one builder in one row."""
    wall = [cost["wall"] for cost in costs]
    return {
        "wall": statistics.median(wall),
        "min": min(wall),
        "max": max(wall),
        "cpu": statistics.median(cost["cpu"] for cost in costs),
        "peak": statistics.median(cost["peak"] for cost in costs),
        "produced": produced,
        "runs": costs,
    }


def times(row, names):
    """Galley against each peer and the floor."""
    cells = [f"{row['letter']} {row['text']}"]
    ours = row["builders"].get("galley")
    for name in names:
        found = row["builders"].get(name)
        cell = f"{found['wall']:.3f} ({found['min']:.3f}..{found['max']:.3f})" if found else ""
        if ours and found and found is not ours:
            cell += f" **{ours['wall'] / found['wall']:.2f}**"
        cells.append(cell)
    floor = row.get("floor")
    cell = f"{floor['wall']:.3f} {floor['text']}" if floor else ""
    if ours and floor:
        cell += f" **{ours['wall'] / floor['wall']:.2f}**"
    return [*cells, cell]


def costs(row, names):
    cells = [f"{row['letter']} {row['text']}"]
    for name in names:
        found = row["builders"].get(name)
        cell = f"{found['cpu']:.2f} s, {found['peak']:.0f} MiB" if found else ""
        if found and found["produced"]:
            cell += f", {found['produced'] / 2**20:.1f} MiB out"
        cells.append(cell)
    return cells


def lines(heading, rows):
    return ["| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)] + [
        "| " + " | ".join(cells) + " |" for cells in rows
    ]


def markdown(report):
    names = list(report["builders"])
    host = report["machine"]
    text = [
        "Seconds from start to exit: median (fastest..slowest) **galley's part of it**.",
        "",
        *lines(["workload", *names, "floor"], [times(row, names) for row in report["rows"]]),
        "",
        "Processor time and peak memory of everything that worked, daemons included; size of what was written.",
        "",
        *lines(["workload", *names], [costs(row, names) for row in report["rows"]]),
        "",
        f"{report['runs']} runs at most, builders taking turns, scale {report['scale']}. {host['processor']}, "
        f"{host['cores']} cores, {host['memory_gib']} GiB, {host['system']}, kernel {host['kernel']}, "
        f"{report['file_system']}. Load average before and after: {report['load'][0]:.1f} and "
        f"{report['load'][-1]:.1f}. Galley commit {report['commit']}.",
        "",
    ]
    text += [f"- {name}: {known['version']}; {known['note']}" for name, known in report["builders"].items()]
    text += [f"- {workload}: {verdict}" for workload, verdict in report["images"].items()]
    return "\n".join(text)


def families(reports):
    """Reports of several scales as what plots.py draws: for each row the cost against the size, builder by builder."""
    drawn = {}
    for report in reports:
        for row in report["rows"]:
            empty = {"axis": "scale (1 is the size to quote)", "about": row["text"], "bounds": {}, "series": {}}
            family = drawn.setdefault(row["letter"], empty)
            for name, found in row["builders"].items():
                point = {"size": report["scale"], **{what: found[what] for what in ("wall", "cpu", "peak")}}
                family["series"].setdefault(name, []).append(point)
    return {"families": drawn}
