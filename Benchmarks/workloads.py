# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""What is measured. A workload makes its context; its rows say what happens before each turn and what is timed."""

import shutil
from dataclasses import dataclass
from typing import Callable

import contexts
import floors
from builders import Build
from machine import REPOSITORY, run


@dataclass
class Row:
    letter: str
    text: str
    build: Callable  # (builder, turn) -> Build: what is timed
    edit: Callable = None  # (turn): changes the context, before each turn
    warm: Callable = None  # (builder): once, before the first turn
    prepare: Callable = None  # (builder): before each of its turns, not timed
    floor: Callable = None  # () -> Floor or None
    produced: Callable = None  # (Build) -> bytes


class Workload:
    """`shared` has the registry, the bases' folder and galley's seed store; `scale` 1 is the size to quote."""

    about = ""

    def __init__(self, folder, scale, shared):
        self.folder, self.scale, self.shared = folder, scale, shared
        self.context = folder / "context"
        self.context.mkdir(parents=True)
        self.rows = []
        self.generate()

    def scaled(self, count, least=1):
        return max(least, round(count * self.scale))

    def write(self, lines, name="Dockerfile"):
        (self.context / name).write_text("\n".join(lines) + "\n")

    def final(self):
        """What the builders' images are compared by: found in the cache."""
        return Build(self.context)

    def plain(self, builder, turn=0):
        return Build(self.context)

    def fresh(self, builder, turn=0):
        return Build(self.context, cached=False)

    def built(self, builder):
        """Everything is in the builder's cache."""
        builder.execute(Build(self.context))

    def forget(self, builder):
        builder.forget()

    def archive(self, builder, turn=0, **options):
        path = self.folder / f"{builder.name}.tar"
        path.unlink(missing_ok=True)
        return Build(self.context, archive=path, **options)

    def archive_size(self, build):
        return build.archive.stat().st_size


class Go(Workload):
    """The two-stage Dockerfile of examples/go."""

    def generate(self):
        shutil.copytree(REPOSITORY / "examples/go", self.context, dirs_exist_ok=True)
        self.source = self.context / "main.go"
        self.source.write_text(self.source.read_text() + "// edited by the benchmark\n")

    def edit(self, turn):
        """Another line of the same length: only content and times tell."""
        lines = self.source.read_text().split("\n")
        lines[-2] = f"// {self.name} {turn:012d}"
        self.source.write_text("\n".join(lines))

    def go_build(self):
        container = floors.Container(self.shared.bases / "golang/rootfs.tar", self.folder / "floor")
        if not container.works:
            return None
        place = container.bundle / "rootfs"

        def prepare():
            shutil.rmtree(place / "root/.cache", ignore_errors=True)
            shutil.copytree(self.context, place / "app", dirs_exist_ok=True)
            (place / "app/myapp").unlink(missing_ok=True)

        words = ["go", "build", "-o", "myapp", "main.go"]
        return floors.Floor("go build in crun", lambda: container.command(words, "/app"), prepare)


class W1(Go):
    name, about = "W1", "the two-stage Go example, bases present"

    def generate(self):
        super().generate()
        self.rows = [Row("W1", "first build (no cache)", self.fresh, floor=self.go_build)]


class W2(Go):
    name, about = "W2", "the Go example, nothing changed"

    def generate(self):
        super().generate()
        self.rows = [
            Row("W2a", "no output", self.plain, warm=self.built),
            Row("W2b", "OCI archive written", self.archive, warm=self.written, produced=self.archive_size),
        ]

    def written(self, builder):
        builder.execute(self.archive(builder))


class W3(Go):
    name, about = "W3", "the Go example, one source line changed"

    def generate(self):
        super().generate()
        self.rows = [Row("W3", "one line changed", self.plain, self.edit, self.built, floor=self.go_build)]


class W4(Workload):
    name, about = "W4", "a context of many files of 4 KiB"

    def generate(self):
        self.count = self.scaled(50_000)
        contexts.file_tree(self.context / "tree", self.count, 4096)
        self.write(["FROM alpine", "COPY . /src"])
        tree = self.context / "tree"
        self.rows = [
            Row("W4a", f"{self.count} files, first build", self.plain, prepare=self.forget,
                floor=lambda: floors.copy(tree, self.folder)),
            Row("W4b", "nothing changed", self.plain, warm=self.built, floor=lambda: floors.look(tree)),
            Row("W4c", "one file changed", self.plain, self.edit, self.built, floor=lambda: floors.look(tree)),
        ]

    def edit(self, turn):
        (self.context / "tree/d000/f000.txt").write_bytes(contexts.line_file(9_000_000 + turn, 4096))


class W5(Workload):
    name, about = "W5", "one large layer, half like text, half random"

    def generate(self):
        self.size = self.scaled(1 << 30, 1 << 20)
        self.data = self.context / "data"
        contexts.blob(self.data, self.size)
        self.write(["FROM scratch", "COPY data /data"])
        size = f"{self.size / 2**20:.0f} MiB"
        self.rows = [
            Row("W5a", f"{size} into the store", self.plain, prepare=self.forget,
                floor=lambda: floors.copy(self.data, self.folder)),
            Row("W5b", "OCI archive, gzip", self.archive, prepare=self.anew, produced=self.archive_size,
                floor=lambda: floors.compress(self.data, self.folder)),
            Row("W5c", "the same archive again", self.archive, warm=self.written, produced=self.archive_size,
                floor=lambda: floors.copy(self.folder / "galley.tar", self.folder)),
            Row("W5d", "OCI archive, zstd", self.zstd, prepare=self.anew, produced=self.archive_size,
                floor=lambda: floors.zstd(self.data, self.folder)),
            Row("W5e", "push, gzip", self.push, prepare=self.anew, produced=self.pushed,
                floor=lambda: floors.compress(self.data, self.folder)),
        ]

    def anew(self, builder):
        """Built, and never compressed."""
        builder.forget()
        self.built(builder)

    def written(self, builder):
        builder.execute(self.archive(builder))

    def zstd(self, builder, turn=0):
        return self.archive(builder, compression="zstd")

    def push(self, builder, turn):
        return Build(self.context, push=f"{self.shared.registry.address}/w5-{builder.name}-{turn}")

    def pushed(self, build):
        return sum(size for _, size in self.shared.registry.layers(build.push.partition("/")[2]))


class W6(Workload):
    name, about = "W6", "a cold pull of 8 layers"

    def generate(self):
        size = self.scaled(800 << 20, 8 << 20) // 7
        source = self.folder / "source"
        contexts.layers(source, 7, size)
        lines = ["FROM alpine", *(f"COPY l{number} /l{number}" for number in range(7))]
        (source / "Dockerfile").write_text("\n".join(lines) + "\n")
        name = f"{self.shared.registry.address}/w6"
        run([self.shared.galley, "build", "-q", "-t", name, "--push", source], self.shared.seed)
        shutil.rmtree(source)
        self.write([f"FROM {name}", "RUN true"])
        self.rows = [
            Row("W6", f"pull and unpack {7 * size / 1e6:.0f} MB, RUN true", self.pull, prepare=self.forget,
                floor=lambda: floors.download(self.shared.registry, "w6", self.folder)),
        ]

    def pull(self, builder, turn=0):
        return Build(self.context, pull=True)

    def final(self):
        return Build(self.context, pull=True)


class W7(Workload):
    name, about = "W7", "independent stages"

    def generate(self):
        count = self.scaled(32, 2)
        lines = []
        for number in range(count):
            lines += [f"FROM alpine AS s{number}", f"RUN sleep 0.3 && echo {number} > /out"]
        lines += ["FROM scratch", *(f"COPY --from=s{number} /out /out{number}" for number in range(count))]
        self.write(lines)
        self.rows = [Row("W7", f"{count} stages of sleep 0.3", self.fresh)]


class W8(Workload):
    name, about = "W8", "many files made by RUN, then COPY --from"

    def generate(self):
        self.count = self.scaled(300) * 100
        self.script = (
            f"d=0; while [ $d -lt {self.count // 100} ]; do mkdir -p /tree/$d; f=0; "
            "while [ $f -lt 100 ]; do echo $d.$f > /tree/$d/$f; f=$((f + 1)); done; d=$((d + 1)); done"
        )
        self.write(["FROM alpine AS made", f"RUN {self.script}", "FROM alpine", "COPY --from=made /tree /tree"])
        self.rows = [
            Row("W8a", f"RUN makes {self.count} files", self.made, floor=self.alone),
            Row("W8b", "the same and COPY --from", self.fresh, floor=self.alone),
        ]

    def made(self, builder, turn=0):
        return Build(self.context, cached=False, target="made")

    def alone(self):
        container = floors.Container(self.shared.bases / "alpine/rootfs.tar", self.folder / "floor")
        if not container.works:
            return None
        words = ["/bin/sh", "-c", self.script]
        tree = container.bundle / "rootfs/tree"
        return floors.Floor("the RUN alone in crun", lambda: container.command(words), lambda: floors.erase(tree))


class W9(Workload):
    name, about = "W9", "consecutive RUN steps"

    def generate(self):
        self.count = self.scaled(60, 2)
        self.write(["FROM alpine", *(f"RUN echo {number} > /f{number}" for number in range(self.count))])
        self.rows = [
            Row("W9a", f"{self.count} steps", self.fresh, floor=self.containers),
            Row("W9b", "nothing changed", self.plain, warm=self.built),
        ]

    def containers(self):
        container = floors.Container(self.shared.bases / "alpine/rootfs.tar", self.folder / "floor")
        if not container.works:
            return None
        return floors.Floor(f"crun run, {self.count} times", lambda: container.command(["/bin/true"], times=self.count))


class W10(Workload):
    name, about = "W10", "a chain of stages"

    def generate(self):
        count = self.scaled(300, 3)
        lines = []
        for number in range(count):
            (self.context / f"f{number}").write_text(f"{number}\n")
            lines += [f"FROM scratch AS s{number}", f"COPY f{number} /own"]
            lines += [f"COPY --from=s{number - 1} /own /before"] if number else []
        self.write(lines)
        self.rows = [
            Row("W10a", f"{count} stages, first build", self.plain, prepare=self.forget),
            Row("W10b", "nothing changed", self.plain, warm=self.built),
        ]


ALL = (W1, W2, W3, W4, W5, W6, W7, W8, W9, W10)


def chosen(word):
    """The workloads and letters that WORKLOAD says: nothing is all, W4 is one, W4b one row."""
    wanted = [part.strip().upper() for part in word.split(",") if part.strip()]
    if not wanted:
        return {workload: None for workload in ALL}
    found = {}
    for part in wanted:
        whole = [workload for workload in ALL if workload.name == part]
        single = [workload for workload in ALL if workload.name == part[:-1] and part[-1].isalpha()]
        if whole:
            found[whole[0]] = None
        elif single and found.get(single[0], ()) is not None:
            found[single[0]] = found.get(single[0], ()) + (part[:-1] + part[-1].lower(),)
        elif not single:
            raise ValueError(f"no such workload: {part} (W1 to W10, or one row, as W4b)")
    return found
