# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Builders without a daemon: Galley and Buildah. Each has a store of its own in the benchmark's folder.

Galley, like BuildKit and docker, makes no image where none is asked for; Buildah cannot but make one."""

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass

from cost import Command
from machine import run

BASES = {"alpine": "alpine:latest", "golang": "golang:1.21-alpine"}


@dataclass
class Build:
    """One build, said so that every builder can do it."""

    context: object
    dockerfile: str = "Dockerfile"
    target: str = ""
    cached: bool = True
    archive: object = None  # path of an OCI archive to write
    compression: str = "gzip"
    push: str = ""  # name at the registry to push to
    pull: bool = False  # the base may be at the registry only
    tag: str = "bench"


class Builder:
    """What all have in common; the rest is in `forget`, `command` and `stop`."""

    daemons = ()
    most_runs = None  # no more turns than this

    def execute(self, build):
        command = self.command(build)
        run(command.words, command.environment)


def limits():
    """What this process may have: Buildah asks for more, which only some roots are allowed."""
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        soft, hard = resource.getrlimit(number)
        yield f"--ulimit={name}={soft}:{hard}"


class Galley(Builder):
    name = "galley"
    note = "uses the local copy of base images and asks no registry"

    def __init__(self, binary, folder, registry):
        self.binary, self.folder, self.registry = str(binary), folder / "galley", registry
        self.environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "GALLEY_ROOT": str(self.folder)}
        self.version = "galley " + run([self.binary, "version", "--format", "{{.Client.Version}}"]).strip()
        self.forget()

    def galley(self, *words):
        return run([self.binary, *words], self.environment)

    def forget(self):
        """An empty store, but for the base images."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for tag in BASES.values():
            self.galley("pull", "-q", f"{self.registry.address}/library/{tag}")
            self.galley("tag", f"{self.registry.address}/library/{tag}", tag)

    def command(self, build):
        words = [self.binary, "build", "-q", "-f", f"{build.context}/{build.dockerfile}", "--network", "host"]
        words += ["--allow", "network.host"]
        words += [] if build.cached else ["--no-cache"]
        words += ["--target", build.target] if build.target else []
        if build.archive:
            words += ["-o", f"type=oci,dest={build.archive},compression={build.compression}"]
        elif build.push:
            words += ["-t", build.push, "--push"]
        else:
            words += ["-o", "type=cacheonly"]
        return Command([*words, str(build.context)], self.environment)

    def stop(self):
        pass


class Buildah(Builder):
    name = "buildah"
    note = "never asks a registry (--pull-never)"

    def __init__(self, peers, folder, registry, most_runs):
        """In the tree of peers when there is one, else what is installed."""
        self.peers, self.folder, self.registry, self.most_runs = peers, folder, registry, most_runs
        (folder / "tmp").mkdir(exist_ok=True)
        self.environment = peers.environment if peers else {**os.environ, "TMPDIR": str(folder / "tmp")}
        self.version = self.run("--version").strip()
        self.generation, self.isolation = 0, "oci"
        self.forget()
        self.choose_isolation()

    @staticmethod
    def installed():
        return shutil.which("buildah") is not None

    def words(self, *command):
        return self.peers.words("buildah", *command) if self.peers else ["buildah", *map(str, command)]

    def run(self, *command):
        return run(self.words(*command), self.environment)

    def store(self):
        place = self.folder / f"buildah{self.generation}"
        return ["--root", place / "root", "--runroot", place / "run", "--storage-driver", "overlay"]

    def forget(self):
        if self.generation:
            self.run(*self.store(), "rmi", "--all", "--force")
        self.generation += 1
        for tag in BASES.values():
            self.run(*self.store(), "pull", "--quiet", "--tls-verify=false", f"{self.registry.address}/library/{tag}")
            self.run(*self.store(), "tag", f"{self.registry.address}/library/{tag}", f"docker.io/library/{tag}")

    def choose_isolation(self):
        """An OCI runtime where one works, else chroot: some machines let no runtime start."""
        probe = self.folder / "probe"
        probe.mkdir()
        (probe / "Dockerfile").write_text(f"FROM docker.io/library/{BASES['alpine']}\nRUN true\n")
        for self.isolation in ("oci", "chroot"):
            command = self.command(Build(probe, cached=False, tag="probe"))
            words = [str(word) for word in command.words]
            result = subprocess.run(words, env=command.environment, capture_output=True, text=True)
            if result.returncode == 0:
                return
        raise OSError(f"it runs no step here, neither with an OCI runtime nor with chroot: {result.stderr[-500:]}")

    def runtime(self):
        if self.peers:
            return ["--runtime", self.peers.runtime]
        found = shutil.which("crun") or shutil.which("runc", path=os.environ.get("PATH", "") + ":/usr/sbin")
        return ["--runtime", found] if found else []

    def command(self, build):
        tag = build.push or build.tag
        options = ["--layers", "--tls-verify=false", *([] if build.pull else ["--pull-never"])]
        options += ["--isolation", self.isolation, *self.runtime(), *limits(), "--network", "host"]
        options += ["--quiet", "--format", "oci", "-f", f"{build.context}/{build.dockerfile}", "-t", tag]
        options += [] if build.cached else ["--no-cache"]
        options += ["--target", build.target] if build.target else []
        words = self.words(*self.store(), "bud", *options, build.context)
        push = [*self.store(), "push", "--quiet", "--compression-format", build.compression]
        if build.archive:
            return self.both(words, self.words(*push, tag, f"oci-archive:{build.archive}"))
        if build.push:
            return self.both(words, self.words(*push, "--tls-verify=false", tag))
        return Command(words, self.environment)

    def both(self, first, second):
        script = 'n=$1; shift; i=0; first=; while [ $i -lt "$n" ]; do first="$first $1"; shift; i=$((i + 1)); done'
        return Command(["sh", "-c", f'{script}; $first && exec "$@"', "both", len(first), *first, *second],
                       self.environment)

    def stop(self):
        # Its storage driver leaves one bind mount behind.
        for generation in range(1, self.generation + 1):
            place = self.folder / f"buildah{generation}" / "root" / "overlay"
            subprocess.run(["umount", "-l", str(place)], capture_output=True)
