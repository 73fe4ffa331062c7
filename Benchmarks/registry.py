# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""A registry on the loopback interface, Debian's docker-registry, for base images, pulls and pushes."""

import http.client
import json
import os
import socket
import subprocess
import time


class Registry:
    def __init__(self, folder):
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        environment = {**os.environ, "REGISTRY_VALIDATION_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}
        configuration = folder / "config.yml"
        configuration.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{self.address}'}}\n"
        )
        log = open(folder / "log", "wb")
        command = ["docker-registry", "serve", str(configuration)]
        try:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        except FileNotFoundError:
            raise SystemExit("bench: docker-registry is missing (Debian: apt-get install docker-registry)")
        for _ in range(100):
            try:
                self.get("/v2/")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"bench: docker-registry does not answer: {(folder / 'log').read_text()[-2000:]}")

    def get(self, path):
        connection = http.client.HTTPConnection(self.address, timeout=30)
        types = ("oci.image.manifest.v1", "docker.distribution.manifest.v2", "oci.image.index.v1")
        accept = ", ".join(f"application/vnd.{name}+json" for name in types)
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"bench: the registry says {answer.status} for {path}")
        return answer.read()

    def layers(self, repository):
        """Digest and size of the layers of NAME:latest."""
        manifest = json.loads(self.get(f"/v2/{repository}/manifests/latest"))
        if "manifests" in manifest:
            images = [entry for entry in manifest["manifests"] if entry["platform"]["os"] != "unknown"]
            manifest = json.loads(self.get(f"/v2/{repository}/manifests/{images[0]['digest']}"))
        return [(layer["digest"], layer["size"]) for layer in manifest["layers"]]

    def stop(self):
        self.process.terminate()
        self.process.wait()
