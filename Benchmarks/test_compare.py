# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""What makes two images different, and what does not."""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import tempfile
import unittest

import compare


def entry(name, content=None, mode=0o644, **options):
    member = tarfile.TarInfo(name)
    member.mode = mode
    if content is None:
        member.type = options.pop("type", tarfile.DIRTYPE)
    else:
        member.size = len(content)
    for key, value in options.items():
        setattr(member, key, value)
    return member, io.BytesIO(content) if content is not None else None


def packed(entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in entries:
            if content is not None:
                content.seek(0)
            tar.addfile(member, content)
    return buffer.getvalue()


def image(layers, config=None, compress=True):
    """An OCI archive, read by compare.Image."""
    blobs = {}

    def blob(content, kind):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    descriptors = [blob(gzip.compress(packed(layer)) if compress else packed(layer), kind) for layer in layers]
    whole = {"os": "linux", "architecture": "amd64", "config": config or {}}
    manifest = {"config": blob(json.dumps(whole).encode(), "config"), "layers": descriptors}
    blobs["index.json"] = json.dumps({"manifests": [blob(json.dumps(manifest).encode(), "manifest")]}).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "image.tar"
        path.write_bytes(packed([entry(name, content) for name, content in blobs.items()]))
        return compare.Image(path)


class SameTree(unittest.TestCase):
    def same(self, one, other):
        self.assertEqual(compare.differences(one, other), [])

    def test_layers_and_compression_do_not_matter(self):
        files = [entry("etc", mode=0o755), entry("etc/a", b"1"), entry("etc/b", b"2")]
        self.same(image([files]), image([files[:2], files[2:]], compress=False))

    def test_times_do_not_matter(self):
        self.same(image([[entry("a", b"1", mtime=1)]]), image([[entry("./a", b"1", mtime=2)]]))

    def test_whiteouts(self):
        below = [entry("d", mode=0o755), entry("d/a", b"1"), entry("d/b", b"1"), entry("e", b"1")]
        above = [entry("d/.wh..wh..opq", b""), entry("d/c", b"2"), entry(".wh.e", b"")]
        self.same(image([below, above]), image([[entry("d", mode=0o755), entry("d/c", b"2")]]))

    def test_a_file_takes_the_place_of_a_folder(self):
        below = [entry("d", mode=0o755), entry("d/a", b"1")]
        self.same(image([below, [entry("d", b"file")]]), image([[entry("d", b"file")]]))

    def test_hard_links_are_the_file(self):
        linked = [entry("a", b"1"), entry("b", type=tarfile.LNKTYPE, linkname="a")]
        self.same(image([linked]), image([[entry("a", b"1"), entry("b", b"1")]]))

    def test_empty_is_absent(self):
        self.same(image([], {"Env": ["A=1"], "Labels": {}, "Volumes": None}), image([], {"Env": ["A=1"]}))


class OtherTree(unittest.TestCase):
    def test_what_differs(self):
        plain = image([[entry("a", b"1")]])
        for name, other in {
            "content": [entry("a", b"2")],
            "mode": [entry("a", b"1", mode=0o600)],
            "owner": [entry("a", b"1", uid=7)],
            "type": [entry("a", type=tarfile.SYMTYPE, linkname="1")],
            "more": [entry("a", b"1"), entry("b", b"")],
            "less": [],
        }.items():
            with self.subTest(name):
                self.assertEqual(len(compare.differences(plain, image([other]))), 1)

    def test_working_directory(self):
        def directory(path):
            return image([], {"WorkingDir": path})

        self.assertEqual(compare.differences(directory("/root/"), directory("/root")), [])
        self.assertEqual(compare.differences(directory("/"), directory("/")), [])
        self.assertTrue(compare.differences(directory("/root"), directory("/")))

    def test_config(self):
        self.assertTrue(compare.differences(image([], {"User": "a"}), image([], {"User": "b"}))[0].startswith("config"))


if __name__ == "__main__":
    unittest.main()
