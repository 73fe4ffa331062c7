# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""BuildKit: Debian's, inside dockerd and driven by docker buildx, and a buildkitd with its buildctl given by path."""

import shutil
import subprocess
import time

from builders import BASES, Builder
from cost import Command
from machine import run


def start(command, environment, log, answers):
    """Starts a daemon and waits until it answers."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment
        )
    for _ in range(300):
        if process.poll() is not None:
            break
        if subprocess.run(answers.words, env=answers.environment, capture_output=True).returncode == 0:
            return process
        time.sleep(0.1)
    process.kill()
    raise OSError(f"{command[-1]} does not answer; the end of its log:\n{log.read_text(errors='replace')[-2000:]}")


def stop(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class BuildKit(Builder):
    """buildkitd, in the tree of peers for its runtime, and buildctl."""

    name = "buildkit"
    note = "asks the loopback registry once for each base image, the way it does without an image store"

    def __init__(self, peers, buildkitd, buildctl, folder, registry):
        self.peers, self.registry, self.folder = peers, registry, folder / "buildkit"
        self.folder.mkdir()
        self.buildctl = str(buildctl)
        self.socket = f"unix://{self.folder}/socket"
        daemon = self.folder / "buildkitd"
        shutil.copy(buildkitd, daemon)
        configuration = self.folder / "buildkitd.toml"
        configuration.write_text(
            f'root = "{self.folder}/root"\ninsecure-entitlements = ["network.host"]\n'
            f'[grpc]\naddress = ["{self.socket}"]\n'
            f'[registry."docker.io"]\nmirrors = ["{registry.address}"]\n'
            f'[registry."{registry.address}"]\nhttp = true\n'
            f'[worker.oci]\nsnapshotter = "overlayfs"\nbinary = "{peers.runtime}"\nnetworkMode = "host"\ngc = false\n'
        )
        self.process = start(
            peers.words(daemon, "--config", configuration),
            peers.environment,
            self.folder / "log",
            Command([self.buildctl, "--addr", self.socket, "debug", "workers"]),
        )
        self.daemons = (self.process.pid,)
        self.version = run([self.buildctl, "--version"]).strip() + ", overlayfs, crun"
        self.bases = folder / "buildkit-bases"
        self.bases.mkdir()
        lines = [f"FROM {image} AS {name}\nRUN true\n" for name, image in BASES.items()]
        copies = [f"COPY --from={name} /etc/passwd /{name}\n" for name in BASES]
        (self.bases / "Dockerfile").write_text("".join([*lines, "FROM scratch\n", *copies]))
        self.forget()

    def run(self, *words):
        return run([self.buildctl, "--addr", self.socket, *words])

    def forget(self):
        self.run("prune", "--all")
        self.run("build", *self.source(self.bases, "Dockerfile"))

    def source(self, context, dockerfile):
        return [
            *("--progress", "plain", "--frontend", "dockerfile.v0", "--local", f"context={context}"),
            *("--local", f"dockerfile={context}", "--opt", f"filename={dockerfile}"),
        ]

    def command(self, build):
        words = [self.buildctl, "--addr", self.socket, "build", *self.source(build.context, build.dockerfile)]
        words += [] if build.cached else ["--no-cache"]
        words += ["--opt", f"target={build.target}"] if build.target else []
        form = f"compression={build.compression},force-compression=true,oci-mediatypes=true"
        if build.archive:
            words += ["--output", f"type=oci,dest={build.archive},{form}"]
        elif build.push:
            words += ["--output", f"type=image,name={build.push},push=true,{form}"]
        return Command(words)

    def stop(self):
        stop(self.process)


class Docker(Builder):
    """dockerd of Debian sid with containerd's image store, and docker buildx. No image is made when no one wants it."""

    name = "docker"
    note = "base images are in its store; what it asks of Docker Hub goes to the loopback registry, its mirror"

    def __init__(self, peers, folder, registry, packages):
        self.peers, self.registry, self.folder = peers, registry, folder / "docker"
        self.folder.mkdir()
        self.address = f"unix://{self.folder}/socket"
        self.process = start(
            peers.words(
                *("dockerd", "--host", self.address, "--data-root", self.folder / "data"),
                *("--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid"),
                *("--registry-mirror", f"http://{registry.address}"),
                *("--iptables=false", "--ip6tables=false", "--bridge=none"),
                *("--add-runtime", f"crun={peers.runtime}", "--default-runtime", "crun"),
                *("--exec-opt", "native.cgroupdriver=cgroupfs", "--feature", "containerd-snapshotter=true"),
            ),
            peers.environment,
            self.folder / "log",
            self.docker("version"),
        )
        self.daemons = (self.process.pid,)
        known = [f"{name} {packages.get(name)}" for name in ("docker.io", "docker-buildx", "containerd")]
        self.version = ", ".join(known) + ", containerd image store, crun"
        for tag in BASES.values():
            self.run("pull", "--quiet", f"{registry.address}/library/{tag}")
            self.run("tag", f"{registry.address}/library/{tag}", tag)
        self.forget()

    def docker(self, *words):
        return Command(self.peers.words("docker", "--host", self.address, *words), self.peers.environment)

    def run(self, *words):
        command = self.docker(*words)
        return run(command.words, command.environment)

    def forget(self):
        self.run("buildx", "prune", "--all", "--force")

    def command(self, build):
        words = ["buildx", "build", "--progress", "plain", "--network", "host", "--allow", "network.host"]
        words += ["--provenance=false", "-f", f"{build.context}/{build.dockerfile}"]
        words += [] if build.cached else ["--no-cache"]
        words += ["--target", build.target] if build.target else []
        form = f"compression={build.compression},force-compression=true,oci-mediatypes=true"
        if build.archive:
            words += ["--output", f"type=oci,dest={build.archive},{form}"]
        elif build.push:
            words += ["--output", f"type=image,name={build.push},push=true,{form}"]
        else:
            words += ["--output", "type=cacheonly"]
        return self.docker(*words, build.context)

    def stop(self):
        stop(self.process)
