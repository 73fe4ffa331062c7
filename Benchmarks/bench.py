#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Times whole builds with galley and its peers, taking turns, and compares the images that they made.

    bench.py --galley PATH --bases FOLDER [--workload W4b] [--runs N] [--scale 0.02,0.1] [--peers FOLDER] [--json FILE]

A Markdown table goes to standard output. Exits with 1 when two builders made different images.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import types

import compare
import disk
import report
import workloads
from builders import BASES, Buildah, Galley
from cost import measure, rest
from daemons import BuildKit, Docker
from machine import commit, file_system, machine, python_with_matplotlib, run
from peers import PeerRoot, versions
from registry import Registry


def say(*words):
    print("bench:", *words, file=sys.stderr, flush=True)


def seed(galley, bases, folder, registry):
    """Base images, built by galley and pushed: every builder pulls the same. Returns the environment of that store."""
    environment = {**os.environ, "GALLEY_ROOT": str(folder / "seed")}
    for name, tag in BASES.items():
        run([galley, "build", "-q", "-t", tag, bases / name], environment)
        run([galley, "tag", tag, f"{registry.address}/library/{tag}"], environment)
        run([galley, "push", "-q", f"{registry.address}/library/{tag}"], environment)
    return environment


def gather(options, folder, registry, running):
    """The builders that work here; what does not is said and left out."""
    packages = versions(options.peers) if options.peers else {}
    tree = None
    if options.peers and (options.peers / "root").is_dir():
        try:
            tree = PeerRoot(options.peers / "root", folder)
            running.append(tree)
        except OSError as problem:
            say(problem)
    makers = {"galley": lambda: Galley(options.galley, folder, registry)}
    if tree and options.buildkitd and options.buildctl:
        makers["buildkit"] = lambda: BuildKit(tree, options.buildkitd, options.buildctl, folder, registry)
    if tree:
        makers["docker"] = lambda: Docker(tree, folder, registry, packages)
    if tree or Buildah.installed():
        makers["buildah"] = lambda: Buildah(tree, folder, registry, options.buildah_runs)
    builders = []
    for name, make in makers.items():
        if options.builders and name not in options.builders.split(","):
            continue
        try:
            builder = make()
        except OSError as problem:
            say(f"{name} is left out: {problem}")
            continue
        running.append(builder)
        builders.append(builder)
        say(f"{name}: {builder.version}")
    return builders


def measured(row, builders, runs):
    """Costs by builder, and the floor's. Within one turn all builders do the same, one after the other."""
    found = {builder.name: [] for builder in builders}
    produced = {}
    for builder in builders:
        if row.warm:
            row.warm(builder)
    floor = row.floor() if row.floor else None
    floor_costs = []
    daemons = [pid for builder in builders for pid in builder.daemons]

    def quiet():
        # Whoever is next neither shares the processors with what the one before left to its daemon, nor the disk.
        if not rest(daemons):
            say("a daemon works on; the next figures have that in them")
        disk.settle()

    for turn in range(runs):
        if row.edit:
            row.edit(turn)
        for builder in builders if turn % 2 == 0 else reversed(builders):
            if builder.most_runs is not None and turn >= builder.most_runs:
                continue
            if row.prepare:
                row.prepare(builder)
            build = row.build(builder, turn)
            quiet()
            cost = measure(builder.command(build), builder.daemons)
            found[builder.name].append(dataclasses.asdict(cost))
            produced[builder.name] = row.produced(build) if row.produced else None
            say(f"{row.letter} {builder.name}: {cost.wall:.3f} s, {cost.cpu:.2f} s of processor, {cost.peak:.0f} MiB")
        if floor:
            floor.prepare()
            quiet()
            floor_costs.append(dataclasses.asdict(measure(floor.command())))
    result = {
        "letter": row.letter,
        "text": row.text,
        "builders": {name: report.summary(costs, produced[name]) for name, costs in found.items() if costs},
    }
    if floor:
        result["floor"] = {"text": floor.text, **report.summary(floor_costs, None)}
        say(f"{row.letter} {floor.text}: {result['floor']['wall']:.3f} s")
    return result


def same_images(workload, builders):
    """A sentence, and whether all made the same image."""
    images = []
    for builder in builders:
        build = dataclasses.replace(workload.final(), archive=workload.folder / "compared.tar")
        build.archive.unlink(missing_ok=True)
        builder.execute(build)
        images.append((builder.name, compare.Image(build.archive)))
        build.archive.unlink()
    if len(images) < 2:
        return "one builder, nothing to compare", True
    first, reference = images[0]
    for name, image in images[1:]:
        found = compare.differences(reference, image)
        if found:
            return f"the images of {first} and {name} differ: " + "; ".join(found[:5]), False
    names = ", ".join(name for name, _ in images)
    return f"the same image, {len(reference.tree)} paths, from {names}", True


def compared(options, scale, folder, builders, shared, reports):
    """Adds the report of one scale, and keeps what there is after each workload."""
    found = {
        "commit": commit(),
        "runs": options.runs,
        "scale": scale,
        "machine": machine(),
        "file_system": file_system(folder) + (" on a loop device" if os.path.ismount(folder) else ""),
        "load": [os.getloadavg()[0]],
        "builders": {builder.name: {"version": builder.version, "note": builder.note} for builder in builders},
        "rows": [],
        "images": {},
        "same": True,
    }
    reports.append(found)
    for kind, letters in workloads.chosen(options.workload).items():
        place = folder / kind.name
        workload = kind(place, scale, shared)
        disk.read_all(workload.context)
        say(f"{kind.name}: {kind.about}")
        rows = [row for row in workload.rows if letters is None or row.letter in letters]
        if letters and len(rows) < len(letters):
            raise SystemExit(f"bench: {kind.name} has the rows {', '.join(row.letter for row in workload.rows)}")
        for row in rows:
            found["rows"].append(measured(row, builders, options.runs))
        verdict, same = same_images(workload, builders)
        say(f"{kind.name}: {verdict}")
        found["images"][kind.name] = verdict
        found["same"] = found["same"] and same
        found["load"].append(os.getloadavg()[0])
        shutil.rmtree(place)
        for builder in builders:
            builder.forget()
        disk.settle()
        keep(options, reports)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galley", required=True, type=pathlib.Path)
    parser.add_argument("--bases", required=True, type=pathlib.Path, help="the cache folder of `make bases`")
    parser.add_argument("--peers", type=pathlib.Path, help="the folder that `make bench-peers` filled")
    parser.add_argument("--buildkitd", type=pathlib.Path, help="a buildkitd to compare with; needs --peers")
    parser.add_argument("--buildctl", type=pathlib.Path, help="its client")
    parser.add_argument("--workload", default="", help="W4, or W4b, or several with commas; all by default")
    parser.add_argument("--builders", default="", help="only these, with commas: galley,buildkit,docker,buildah")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--buildah-runs", type=int, default=1, help="it takes minutes where others take seconds")
    parser.add_argument("--scale", default="1", help="of all sizes; several, with commas, are plotted with --plots")
    parser.add_argument("--disk", type=int, default=40, help="GiB that the file system may grow to")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--plots", type=pathlib.Path, help="a folder; needs matplotlib and --json")
    options = parser.parse_args()
    options.scales = [float(word) for word in options.scale.split(",")]
    if options.runs < 1 or options.buildah_runs < 1 or min(options.scales) <= 0:
        parser.error("--runs and --buildah-runs must be at least 1, --scale more than 0")
    if bool(options.buildkitd) != bool(options.buildctl):
        parser.error("--buildkitd and --buildctl go together")
    if options.plots and not options.json:
        parser.error("--plots draws what --json keeps")
    try:
        workloads.chosen(options.workload)
    except ValueError as problem:
        parser.error(str(problem))
    for name in ("galley", "bases", "peers", "buildkitd", "buildctl", "json", "plots"):
        path = getattr(options, name)
        setattr(options, name, path.resolve() if path else None)
    return options


def keep(options, reports):
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(reports, indent=2) + "\n")


def plot(options, reports):
    drawing = options.json.with_suffix(".plots.json")
    drawing.write_text(json.dumps(report.families(reports), indent=2) + "\n")
    program = pathlib.Path(__file__).parent / "plots.py"
    subprocess.run([python_with_matplotlib(), program, drawing, options.plots], check=True)


def main():
    options = arguments()
    disk.enter_namespace()
    running, reports = [], []
    with disk.scratch(options.disk) as folder:
        (folder / "tmp").mkdir()
        try:
            registry = Registry(folder / "registry")
            running.append(registry)
            environment = seed(options.galley, options.bases, folder, registry)
            builders = gather(options, folder, registry, running)
            shared = types.SimpleNamespace(
                registry=registry, bases=options.bases, galley=options.galley, seed=environment
            )
            for scale in options.scales:
                compared(options, scale, folder, builders, shared, reports)
        finally:
            for service in reversed(running):
                service.stop()
    if options.plots:
        plot(options, reports)
    print("\n\n".join(report.markdown(one) for one in reports))
    if not all(one["same"] for one in reports):
        raise SystemExit("bench: the builders made different images")


if __name__ == "__main__":
    main()
