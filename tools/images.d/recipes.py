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

    def key(self, packages):
        """Digest of all that goes in: package versions, our files, and this program."""
        digest = hashlib.sha256(repr([packages.files[p] for p in sorted(self.packages)]).encode())
        for path in sorted([*HERE.iterdir(), *(GUEST / self.name).rglob("*")]):
            if path.is_file():
                digest.update(f"{path.name} {path.stat().st_mode & 0o111}\n".encode() + path.read_bytes())
        return digest.hexdigest()


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
    return made.copy(root, f"{lib}/libc.so.6")


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


@recipe("rootdisk", "busybox-static")
def make_rootdisk(packages):
    """An `init` that finds the root device with the kernel's modules, for kernels that have its drivers not built in."""
    return Image(scripts("rootdisk", packages))


@recipe("containerd", "containerd", "libc6")
def make_containerd(packages):
    made = libc(Layer().guest("containerd"), packages)
    for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
        made.copy(packages.unpacked("containerd"), f"/usr/bin/{name}")
    return Image([(made.tar(), layout.gzipped)])


@recipe("ca-certificates", "ca-certificates")
def make_ca_certificates(packages):
    """One file of all certificates, where OpenSSL, Go and the rest look for it; the layer is not compressed."""
    folder = packages.unpacked("ca-certificates") / "usr/share/ca-certificates/mozilla"
    bundle = b"".join(path.read_bytes() for path in sorted(folder.glob("*.crt")))
    made = Layer().file("etc/ssl/certs/ca-certificates.crt", bundle)
    return Image([(made.symlink("etc/ssl/cert.pem", "certs/ca-certificates.crt").tar(), layout.plain)])


@recipe("sysctl", "busybox-static")
def make_sysctl(packages):
    label = {"capabilities": ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"], "pid": "host", "readonly": True}
    return Image(scripts("sysctl", packages, layout.zstd), config("/usr/bin/sysctl", label=label))


@recipe("binfmt", "busybox-static")
def make_binfmt(packages):
    label = {"binds": ["/proc/sys/fs/binfmt_misc:/binfmt_misc"], "capabilities": ["CAP_SYS_ADMIN"],
             "ipc": "new", "net": "new", "readonly": True}
    layers = scripts("binfmt", packages)
    return Image([*layers, (Layer().dir("binfmt_misc").tar(), layout.plain)], config("/usr/bin/binfmt", label=label))


@recipe("dhcpcd", "busybox-static")
def make_dhcpcd(packages):
    label = {"binds": ["/run/resolvconf:/etc"], "net": "host",
             "capabilities": ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_ADMIN"]}
    return Image(scripts("dhcpcd", packages), config("/sbin/dhcpcd", "-f", "/dhcpcd.conf", label=label))


@recipe("rngd", "jitterentropy-rngd", "libc6")
def make_rngd(packages):
    label = {"capabilities": ["CAP_SYS_ADMIN"], "ipc": "new", "net": "new", "oomScoreAdj": -800, "readonly": True}
    made = libc(Layer(), packages)
    made.copy(packages.unpacked("jitterentropy-rngd"), "/usr/sbin/jitterentropy-rngd", to="/sbin/rngd")
    # Only a verbose one stays in the foreground, and the container ends with its first process.
    return Image([(made.tar(), layout.zstd)], config("/sbin/rngd", "-v", label=label))


def character(path, major, minor):
    return {"path": path, "type": "c", "major": major, "minor": minor, "mode": "0666"}


@recipe("getty", "busybox-static")
def make_getty(packages):
    shared = ["/etc/resolv.conf", "/run", "/tmp", "/usr/bin/runc", "/containers", "/var/log", "/dev", "/sys"]
    label = {
        "binds": [*(f"{path}:{path}" for path in shared), "/etc:/hostroot/etc"], "capabilities": ["all"],
        "devices": [character("/dev/console", 5, 1), character("/dev/tty0", 4, 0), character("/dev/ttyS0", 4, 64),
                    character("/dev/ttyAMA0", 204, 64), character("/dev/hvc0", 229, 0)],
        "net": "host", "pid": "host",
    }
    return Image(scripts("getty", packages), config("/usr/bin/getty", label=label))


NGINX_USERS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\n",
}


def nginx_base(packages):
    made = libc(Layer(), packages).dir("tmp", 0o1777).dir("run")
    for package, name in (("libcrypt1", "lib/{}/libcrypt.so.1"), ("libpcre2-8-0", "usr/lib/{}/libpcre2-8.so.0"),
                          ("libssl3", "usr/lib/{}/libssl.so.3"), ("libssl3", "usr/lib/{}/libcrypto.so.3"),
                          ("zlib1g", "lib/{}/libz.so.1")):
        made.copy(packages.unpacked(package), name.format(packages.triplet))
    for path, text in NGINX_USERS.items():
        made.file(path, text)
    return made.tar()


def nginx_as_packaged(packages):
    made = Layer().copy(packages.unpacked("nginx"), "/usr/sbin/nginx").copy_tree(packages.unpacked("nginx-common"), "etc/nginx")
    made.symlink("etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default")
    page = (packages.unpacked("nginx-common") / "usr/share/nginx/html/index.html").read_bytes()
    return made.file("usr/share/nginx/html/index.html", page).file("var/www/html/index.nginx-debian.html", page).tar()


def nginx_ours():
    """Replaces the configuration and the page: a whiteout, an opaque directory, an extended attribute, a hard link."""
    made = Layer().guest("nginx").whiteout("etc/nginx/sites-enabled").opaque("var/www/html")
    page = made.contents["var/www/html/index.html"]
    made.file("var/www/html/index.html", page, xattrs={"user.mime_type": "text/html"})
    return made.hardlink("var/www/html/welcome.html", "var/www/html/index.html").tar()


@recipe("nginx", "nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g", reference="library/nginx")
def make_nginx(packages):
    state = Layer().dir("var/lib/nginx", 0o700, uid=33, gid=33).dir("var/log/nginx", 0o755, uid=33, gid=33)
    layers = [(nginx_base(packages), layout.gzipped), (nginx_as_packaged(packages), layout.gzip_members),
              (nginx_ours(), layout.plain), (state.tar(), layout.zstd)]
    command = {"Entrypoint": ["/usr/sbin/nginx"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}
    return Image(layers, config("-g", "daemon off;", **command))
