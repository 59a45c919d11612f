"""What a person could use instead, doing the same on the same data."""
import contextlib
import os
import pathlib
import random
import shutil
import subprocess

import data
import machine
from machine import now, run

VENV = data.BENCH / "venv"
WORK = data.BENCH / "peers"
PYPI = ["ratarmount==1.3.0", "rapidgzip==0.15.2", "indexed_gzip==1.10.3"]
PORT = 5795
REGISTRY = f"127.0.0.1:{PORT}"


def install():
    """ratarmount from PyPI, in an environment of its own."""
    mark = VENV / "installed"
    if mark.exists() and mark.read_text() == repr(PYPI):
        return
    run("python3", "-m", "venv", VENV)
    run(VENV / "bin/pip", "install", "-q", *PYPI)
    mark.write_text(repr(PYPI))


@contextlib.contextmanager
def ratarmount(blob, backend, *, fresh):
    """A mount of the layer; yields its folder, how long it took, and the watched process."""
    WORK.mkdir(parents=True, exist_ok=True)
    tar, folder, index = WORK / "large.tar.gz", WORK / "mount", WORK / f"{backend}.sqlite"
    folder.mkdir(exist_ok=True)
    if not tar.exists() or not tar.samefile(blob):
        tar.unlink(missing_ok=True)
        os.link(blob, tar)
    if fresh:
        index.unlink(missing_ok=True)
    argv = [VENV / "bin/ratarmount", "-f", "--use-backend", backend, "--index-file", index, tar, folder]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = now()
    with machine.server(argv, lambda: machine.is_mounted(folder), **quiet) as (process, watch):
        seconds = now() - start
        try:
            yield folder, seconds, watch, index
        finally:
            run("umount", "-l", folder)
            process.wait(timeout=60)


def files_below(folder):
    """Regular files in the order of the tar, with their sizes."""
    found = []
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                found.append((path, os.stat(path).st_size))
    return sorted(found)


def read_all(files):
    """MB/s of reading all these files in order."""
    start = now()
    total = sum(machine.read_through(path) for path, _ in files)
    return total / 1e6 / (now() - start)


def random_reads(files, count, seed=1):
    """Seconds of each of `count` reads of 4 KiB, spread evenly over the bytes of the files."""
    numbers = random.Random(seed)
    chosen = numbers.choices(files, weights=[size for _, size in files], k=count)
    return [read_4k(path, numbers.randrange(max(1, size - 4096))) for path, size in chosen]


def read_4k(path, offset):
    fd = os.open(path, os.O_RDONLY)
    try:
        start = now()
        os.pread(fd, 4096, offset)
        return now() - start
    finally:
        os.close(fd)


@contextlib.contextmanager
def registry(references):
    """Debian's docker-registry on loopback, holding these images of the two layouts."""
    folder = WORK / "registry"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{REGISTRY}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n")
    argv = ["docker-registry", "serve", config]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with machine.server(argv, lambda: answers(), **quiet):
        for reference, layout in references:
            skopeo(f"oci:{layout}:{reference}", docker(reference))
        yield f"docker.io=http://{REGISTRY}"


def answers():
    return subprocess.run(["curl", "-fs", f"http://{REGISTRY}/v2/"], stdout=subprocess.DEVNULL).returncode == 0


def docker(reference):
    return f"docker://{REGISTRY}/{reference.removeprefix('docker.io/')}"


def skopeo(source, target):
    run("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", source, target)


def can_unpack(image):
    """umoci knows no zstd; the kernel's image does not go into the root."""
    reference, layout = image
    return "/kernel:" not in reference and not any(kind.endswith("zstd") for kind in data.layer_types(reference, layout))


def by_hand(images):
    """An initrd with skopeo, umoci and cpio: seconds of all, of umoci and cpio alone, and bytes written."""
    folder = WORK / "by-hand"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    machine.drop_caches()
    start = now()
    for number, (reference, _) in enumerate(images):
        skopeo(docker(reference), f"oci:{folder}/images:image{number}")
    fetched = now()
    root = folder / "root"
    for number, _ in enumerate(images):
        run("umoci", "unpack", "--image", f"{folder}/images:image{number}", root / f"image{number}")
    command = f"cd {root} && find . | cpio --quiet -o -H newc > {folder}/initrd.img"
    run("sh", "-c", command)
    end = now()
    written = int(run("du", "-sb", folder).split()[0])
    shutil.rmtree(folder)
    return end - start, end - fetched, written


def linuxkit(spec, mirror):
    """Seconds of `linuxkit build` from the same registry; None where there is no linuxkit, or it cannot."""
    if shutil.which("linuxkit") is None:
        return None
    folder = WORK / "linuxkit"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    argv = ["linuxkit", "--cache", folder / "cache", "build", "--no-sbom", "--mirror", mirror.replace("docker.io=", ""),
            "--format", "kernel+initrd", "--dir", folder, spec]
    machine.drop_caches()
    start = now()
    done = subprocess.run(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return now() - start if done.returncode == 0 else None


def native_copy(path):
    """The same bytes as a file of the file system below."""
    WORK.mkdir(parents=True, exist_ok=True)
    copy = WORK / "native.img"
    with open(path, "rb") as source, open(copy, "wb") as target:
        shutil.copyfileobj(source, target, machine.BLOCK)
    return pathlib.Path(copy)
