"""Debian packages, downloaded and unpacked but never installed.

An APT_CONFIG of its own keeps the host's dpkg untouched and makes a foreign architecture the same as the native one.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time

# Debian's security archive drops superseded versions, so old lists lead to missing files.
LISTS_ARE_OLD_AFTER = 12 * 3600

CONFIG = """\
Dir::State "{root}/state";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
#clear APT::Architectures;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
"""


def run(*argv, **options):
    return subprocess.run(argv, check=True, text=True, **options)


def need(tool, package):
    """A host tool, installed when it is missing."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if shutil.which(tool, path=path):
        return
    print(f"images: installing {package} for `{tool}`", file=sys.stderr)
    # A fresh machine has no package lists; what cannot be fetched shows at the installation.
    subprocess.run(["apt-get", "-q", "update"], stdout=subprocess.DEVNULL)
    run("apt-get", "install", "-y", "-q", "--no-install-recommends", package, stdout=sys.stderr)


class Packages:
    def __init__(self, arch, work):
        self.arch = arch
        self.root = pathlib.Path(work).resolve() / arch
        for folder in ("apt/state/lists/partial", "apt/cache/archives/partial", "debs"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        apt = self.root / "apt"
        (apt / "status").touch()
        (apt / "apt.conf").write_text(CONFIG.format(root=apt, arch=arch))
        self.env = dict(os.environ, APT_CONFIG=str(apt / "apt.conf"), LC_ALL="C")
        self.files = {}
        self._refresh()

    @property
    def triplet(self):
        return {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[self.arch]

    def _refresh(self):
        stamp = self.root / "apt/updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_ARE_OLD_AFTER:
            return
        print(f"images: reading Debian's package lists for {self.arch}", file=sys.stderr)
        # Not checked: a broken third-party source of the host must not stop us, a missing package will.
        subprocess.run(["apt-get", "-q", "update"], env=self.env, stdout=subprocess.DEVNULL)
        stamp.touch()

    def kernel_package(self):
        """`linux-image-amd64` has one dependency, the current kernel."""
        out = run("apt-cache", "depends", f"linux-image-{self.arch}", env=self.env, stdout=subprocess.PIPE).stdout
        return next(line.split()[-1] for line in out.splitlines() if line.strip().startswith("Depends:"))

    def resolve(self, names):
        """Find each package's current file and download what is missing."""
        real = {n: self.kernel_package() if n == "linux-image" else n for n in names}
        argv = ["apt-get", "download", "--print-uris", *sorted(set(real.values()))]
        found = {}
        for line in run(*argv, env=self.env, stdout=subprocess.PIPE).stdout.splitlines():
            file = line.split()[1]
            found[file.split("_")[0]] = file
        debs = self.root / "debs"
        missing = sorted(n for n, f in found.items() if not (debs / f).exists())
        if missing:
            print(f"images: downloading {' '.join(missing)}", file=sys.stderr)
            run("apt-get", "-q", "download", *missing, env=self.env, cwd=debs, stdout=subprocess.DEVNULL)
        self.files = {n: found[r] for n, r in real.items()}

    def unpacked(self, name):
        """The folder in which a resolved package is unpacked."""
        folder = self.root / "unpacked" / self.files[name]
        if not folder.exists():
            part = folder.with_name(folder.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.parent.mkdir(exist_ok=True)
            run("dpkg-deb", "-x", self.root / "debs" / self.files[name], part)
            part.rename(folder)
        return folder

    def clean(self):
        """Unpacking again is cheaper than keeping a kernel's four thousand modules around."""
        shutil.rmtree(self.root / "unpacked", ignore_errors=True)
        shutil.rmtree(self.root / "kernel", ignore_errors=True)
