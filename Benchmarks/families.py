# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""What is made larger and larger: vertices, context files, layers, cache records.

A family yields (series, size, measurement). Every first build has a new store, so that nothing is found in it.
"""

import contextlib
import os
import shutil
import sqlite3

from measuring import measure

FILES_PER_DIRECTORY = 100
BYTES_PER_FILE = 256
VERTICES_PER_FILL = 3000


class Store:
    """A store in a folder of its own, and galley with it."""

    def __init__(self, galley, folder):
        self.galley, self.folder = galley, folder
        self.environment = {**os.environ, "GALLEY_ROOT": str(folder)}

    def run(self, *words):
        return measure([self.galley, *words], self.environment)

    def build(self, context, *options):
        return self.run("build", "-q", *options, context)

    def cache_records(self):
        with contextlib.closing(sqlite3.connect(self.folder / "galley.db")) as database:
            return database.execute("SELECT count(*) FROM cache_records").fetchone()[0]


@contextlib.contextmanager
def new_store(galley, folder):
    """A store that is gone afterwards; waits until the disk is quiet before and after."""
    store = Store(galley, folder / "store")
    os.sync()
    try:
        yield store
    finally:
        shutil.rmtree(store.folder)
        os.sync()


def write_chain(context, vertices, word):
    """A Dockerfile of `vertices` vertices: the context, and per stage the COPY of a file and of the stage before.

    The word is in all paths and in the file: chains of different words share no step.
    """
    context.mkdir(exist_ok=True)
    (context / "file").write_text(f"{word}\n")
    lines = []
    for stage in range(vertices // 2):
        lines += [f"FROM scratch AS s{stage}", f"COPY file /{word}-{stage}"]
        if stage > 0:
            lines.append(f"COPY --from=s{stage - 1} /{word}-{stage - 1} /before")
    (context / "Dockerfile").write_text("\n".join(lines) + "\n")


class Vertices:
    name = "vertices"
    axis = "vertices"
    about = "a chain of stages `FROM scratch`, `COPY` of a file, `COPY --from` of the stage before: two vertices each"
    sizes = (10, 30, 100, 300, 1000, 3000)

    def points(self, galley, folder, sizes, runs):
        for size in sizes:
            write_chain(folder / "context", size, f"chain{size}")
            for _ in range(runs):
                with new_store(galley, folder) as store:
                    yield "first build", size, store.build(folder / "context")
                    yield "nothing changed", size, store.build(folder / "context")


class ContextFiles:
    name = "files"
    axis = "context files"
    about = (
        f"`FROM scratch`, `COPY tree /tree` of files of {BYTES_PER_FILE} bytes "
        f"in directories of {FILES_PER_DIRECTORY}"
    )
    sizes = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 500_000)
    bounds = {"peak": 286}  # MiB: less than 300 MB

    def points(self, galley, folder, sizes, runs):
        context = folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM scratch\nCOPY tree /tree\n")
        made = 0
        for size in sizes:
            for number in range(made, size):
                self.write(context, number, number)
            made = size
            for run in range(runs):
                with new_store(galley, folder) as store:
                    yield "first build", size, store.build(context)
                    yield "nothing changed", size, store.build(context)
                    self.write(context, size // 2, size + run)
                    yield "one file changed", size, store.build(context)

    @staticmethod
    def write(context, number, marker):
        """The number says which file, the marker what is in it."""
        directory = context / "tree" / f"d{number // FILES_PER_DIRECTORY:05d}"
        if number % FILES_PER_DIRECTORY == 0:
            directory.mkdir(parents=True, exist_ok=True)
        content = f"{marker:015d}\n" * (BYTES_PER_FILE // 16)
        (directory / f"f{number % FILES_PER_DIRECTORY:02d}").write_text(content)


class Layers:
    name = "layers"
    axis = "layers"
    about = "an image of alpine's one layer and a `COPY` of a small file for each further one; then steps upon it"
    sizes = (1, 2, 4, 8, 15, 30, 60, 90, 120)
    needs_alpine = True

    def __init__(self, alpine):
        self.alpine = alpine

    def points(self, galley, folder, sizes, runs):
        for name, steps in (("image", ""), ("copy", "COPY file /top\n"), ("run", "RUN true\n")):
            (folder / name).mkdir()
            (folder / name / "file").write_text("a layer\n")
            (folder / name / "Dockerfile").write_text(f"FROM layers\n{steps}")
        for size in sizes:
            copies = "".join(f"COPY file /layer{number}\n" for number in range(1, size))
            (folder / "image" / "Dockerfile").write_text(f"FROM alpine\n{copies}")
            for _ in range(runs):
                with new_store(galley, folder) as store:
                    store.build(self.alpine, "-t", "alpine")
                    yield "first build", size, store.build(folder / "image", "-t", "layers")
                    yield "nothing changed", size, store.build(folder / "image", "-t", "layers")
                    yield "COPY upon it", size, store.build(folder / "copy")
                    yield "RUN upon it", size, store.build(folder / "run")
                    yield "RUN upon it, nothing changed", size, store.build(folder / "run")


class CacheRecords:
    name = "records"
    axis = "cache records"
    about = (
        f"a store filled by building chains of {VERTICES_PER_FILL} vertices that have nothing in common; "
        "the builds timed are of a chain of 20"
    )
    sizes = (0, 100, 1_000, 3_000, 10_000, 30_000, 100_000)

    def points(self, galley, folder, sizes, runs):
        probe, edits, made = folder / "probe", 0, 0
        write_chain(probe, 20, "probe")
        with new_store(galley, folder) as store:
            store.build(probe)
            for size in sizes:
                made = self.fill(store, folder, made, size)
                os.sync()
                for _ in range(runs):
                    yield "nothing changed", size, store.build(probe)
                    edits += 1
                    (probe / "file").write_text(f"edit {edits}\n")
                    yield "one file changed", size, store.build(probe)
                    yield "du", size, store.run("du")
                    yield "prune that finds nothing", size, store.run("prune", "--force", "--filter", "until=8760h")
                if store.cache_records() < size:
                    raise SystemExit(f"the store lost records of {size}: there is not enough free space on the disk")

    @staticmethod
    def fill(store, folder, made, size):
        """Builds chains until there are as many records; the context itself leaves none."""
        while made < size:
            records = min(VERTICES_PER_FILL - 1, size - made)
            records += 1 - records % 2  # a chain of an even number of vertices
            write_chain(folder / "fill", records + 1, f"fill{made}")
            store.build(folder / "fill")
            made += records
        return made
