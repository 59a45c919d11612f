"""What each example image is made of.

Compressions are mixed on purpose: gzip of one and of many members, zstd, and none at all.
"""
import dataclasses
import hashlib
import json
import pathlib
import re

import kernel
import layout
from layer import GUEST, Layer

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Image:
    """Layers from the lowest up, each (tar, compression), and the image config."""
    layers: list
    config: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Recipe:
    name: str
    reference: str
    packages: list
    build: callable

    def packages_for(self, arch):
        return self.packages

    def key(self, packages):
        """Digest of all that goes in: package versions, our files, and this program."""
        digest = hashlib.sha256(repr([packages.files[p] for p in sorted(self.packages)]).encode())
        for path in sorted([*HERE.iterdir(), *(GUEST / self.name).rglob("*")]):
            if path.is_file():
                digest.update(f"{path.name} {path.stat().st_mode & 0o111}\n".encode() + path.read_bytes())
        return digest.hexdigest()

    def make(self, packages):
        return self.build(packages)


ALL = []


def recipe(name, *packages, reference=None):
    """Register a recipe; every image here is tagged `example`."""
    def register(build):
        ALL.append(Recipe(name, f"docker.io/{reference or 'linuxkit/' + name}:example", sorted(packages), build))
        return build
    return register


def config(*command, label=None, **more):
    """An image config with LinuxKit's label of defaults for the container."""
    values = {"Cmd": list(command), "Env": [PATH], "WorkingDir": "/"} | more
    if label is not None:
        values["Labels"] = {"org.mobyproject.config": json.dumps(label)}
    return values


def applets(busybox):
    """The applet names, which lie in the program as one sorted table; it may not be runnable here."""
    table = re.search(rb"\0(\[\0\[\[\0(?:[a-z0-9_-]+\0)+)", busybox)[1]
    return [name.decode() for name in table.split(b"\0") if name]


def busybox(packages):
    """The layer that most images share; the shell is a hard link, as in Debian's initramfs, the rest are symbolic."""
    made = Layer().copy(packages.unpacked("busybox-static"), "/bin/busybox")
    for name in applets(made.contents["bin/busybox"]):
        if name not in ("busybox", "dpkg", "dpkg-deb", "init", "linuxrc", "rpm", "rpm2cpio", "sh"):
            made.symlink(f"bin/{name}", "busybox")
    for name in ("init", "modprobe", "poweroff", "reboot"):
        made.symlink(f"sbin/{name}", "../bin/busybox")
    made.hardlink("bin/sh", "bin/busybox").dir("tmp", 0o1777)
    return made.tar(), layout.gzipped


def libc(made, packages):
    """The C library and its loader, for a program that is not static."""
    root, lib = packages.unpacked("libc6"), f"/lib/{packages.triplet}"
    loader = {"amd64": "/lib64/ld-linux-x86-64.so.2", "arm64": "/lib/ld-linux-aarch64.so.1"}[packages.arch]
    made.copy(root, f"{lib}/{pathlib.Path(loader).name}", to=loader)
    for name in ("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"):
        made.copy(root, f"{lib}/{name}")
    return made


def scripts(name, packages, compress=layout.gzipped):
    """Busybox and our own files on top: what most of these images are."""
    return [busybox(packages), (Layer().guest(name).tar(), compress)]


@recipe("kernel", "linux-image")
def make_kernel(packages):
    binary, modules = kernel.make(packages)
    return Image([(Layer().file("kernel", binary).file("kernel.tar", modules).tar(), layout.gzipped)])


@recipe("init", "busybox-static")
def make_init(packages):
    made = Layer().guest("init").symlink("init", "sbin/init")
    made.symlink("etc/mtab", "/proc/mounts").dir("root", 0o700).dir("home").dir("mnt").dir("run").dir("var")
    return Image([busybox(packages), (made.tar(), layout.gzipped)])


@recipe("runc", "runc", "libseccomp2", "libc6")
def make_runc(packages):
    made = libc(Layer(), packages).copy(packages.unpacked("runc"), "/usr/sbin/runc", to="/usr/bin/runc")
    made.copy(packages.unpacked("libseccomp2"), f"/usr/lib/{packages.triplet}/libseccomp.so.2")
    return Image([(made.tar(), layout.gzip_members)])


@recipe("busybox", "busybox-static", reference="library/busybox")
def make_busybox(packages):
    return Image([busybox(packages)], config("sh"))
