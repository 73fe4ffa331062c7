# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Whether two OCI archives hold the same image: the tree that all layers make, and what a runtime reads of the config.

Times of files and how the tree is divided into layers are the builder's own affair.
"""

import gzip
import hashlib
import json
import tarfile

KINDS = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo", tarfile.CHRTYPE: "character",
         tarfile.BLKTYPE: "block"}
ESSENTIAL = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "ExposedPorts", "Volumes", "StopSignal")


class Image:
    def __init__(self, archive):
        """archive: path of an OCI archive with one image of gzip or plain layers."""
        with tarfile.open(archive) as tar:
            def blob(descriptor):
                return tar.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))

            content = json.load(tar.extractfile("index.json"))
            while "manifests" in content:
                images = [m for m in content["manifests"] if m.get("platform", {}).get("os") != "unknown"]
                content = json.load(blob(images[0]))
            config = json.load(blob(content["config"]))
            self.config = essentials(config)
            self.tree = {}
            for layer in content["layers"]:
                file = blob(layer)
                apply(self.tree, gzip.open(file) if layer["mediaType"].endswith("gzip") else file)


def essentials(config):
    """Absent, null and empty mean the same. So does a slash behind the working directory, which Buildah takes off."""
    inner = config.get("config") or {}
    chosen = {name: inner[name] for name in ESSENTIAL if inner.get(name)}
    if "WorkingDir" in chosen:
        chosen["WorkingDir"] = chosen["WorkingDir"].rstrip("/") or "/"
    labels = {k: v for k, v in chosen.pop("Labels", {}).items() if not k.startswith("io.buildah.")}
    if labels:
        chosen["Labels"] = labels
    return {**chosen, "os": config["os"], "architecture": config["architecture"]}


def apply(tree, layer):
    """Lays a layer, an open tar stream, on a tree of {path: facts}."""
    fresh = set()
    with tarfile.open(fileobj=layer, mode="r|") as tar:
        for member in tar:
            path = member.name.removeprefix("./").strip("/")
            if path in ("", "."):
                continue
            folder, _, name = path.rpartition("/")
            inside = folder + "/" if folder else ""
            if name == ".wh..wh..opq":
                remove(tree, inside, fresh)
            elif name.startswith(".wh."):
                gone = inside + name[4:]
                tree.pop(gone, None)
                remove(tree, gone + "/", fresh)
            else:
                found = facts(tar, member, tree)
                if found[0] != "directory" and tree.get(path, found)[0] == "directory":
                    remove(tree, path + "/", set())
                tree[path] = found
                fresh.add(path)


def remove(tree, prefix, fresh):
    for path in [path for path in tree if path.startswith(prefix) and path not in fresh]:
        del tree[path]


def facts(tar, member, tree):
    if member.islnk():
        return tree[member.linkname.removeprefix("./").strip("/")]
    owner = (member.mode & 0o7777 if not member.issym() else None, member.uid, member.gid)
    if member.isreg():
        digest = hashlib.sha256()
        file = tar.extractfile(member)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return ("file", *owner, member.size, digest.hexdigest())
    kind = KINDS.get(member.type, "other")
    return (kind, *owner, member.linkname, member.devmajor, member.devminor)


def differences(one, other):
    """Sentences, none when both are the same image."""
    found = []
    if one.config != other.config:
        found.append(f"config: {json.dumps(one.config, sort_keys=True)} and {json.dumps(other.config, sort_keys=True)}")
    for path in sorted(one.tree.keys() | other.tree.keys()):
        if one.tree.get(path) != other.tree.get(path):
            found.append(f"{path}: {one.tree.get(path, 'missing')} and {other.tree.get(path, 'missing')}")
    return found
