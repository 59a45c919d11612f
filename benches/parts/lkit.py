"""lkit and the probe, as they are run by the measurements."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess

import data
import machine
from machine import now, run

USER = 65534  # nobody
MOUNT = data.BENCH / "mount"
CACHE = data.BENCH / "cache"
LAYOUTS = ["--layout", data.LAYOUT, "--layout", data.SMALL_LAYOUT]
PROGRAM = data.ROOT / "target/release/lkit"


def build(root=data.ROOT):
    """Build lkit and the probe of a checkout; returns the path of the probe."""
    argv = ["cargo", "build", "--locked", "--release", "--quiet", "--bin", "lkit", "--bench", "probe"]
    lines = run(*argv, "--message-format=json", cwd=root, stderr=None).splitlines()
    found = [json.loads(line) for line in lines]
    return next(m["executable"] for m in found if m.get("target", {}).get("name") == "probe" and m.get("executable"))


def build_of(revision):
    """Build another revision in a checkout of its own; returns its root and the path of its probe."""
    root = data.BENCH / "against"
    if not root.exists():
        run("git", "worktree", "prune", cwd=data.ROOT)
        run("git", "worktree", "add", "--detach", root, revision, cwd=data.ROOT)
    run("git", "checkout", "--detach", "--force", revision, cwd=root)
    return root, build(root)


def use(root, cache):
    """Measure the program of this checkout, with this cache, from now on."""
    global PROGRAM, CACHE
    PROGRAM, CACHE = root / "target/release/lkit", cache


def layer(image):
    return f"{image.digest},{image.size},{image.diff_id}"


def decoding(probe, what, blob):
    """MB/s of decoding a blob and doing nothing else, and its uncompressed size. `plain` is zlib-rs or zstd, `best`
    libdeflate, `engine` lkit's inflater."""
    size, seconds = run(probe, what, blob).split()
    return int(size) / 1e6 / float(seconds), int(size)


def readers(probe, image, count):
    """MB/s of `count` threads that read a layer at once: parts of their own, the same part, what is cached, and 4 KiB
    anywhere."""
    said = run(probe, "readers", data.LAYOUT, CACHE, layer(image), str(count))
    return [float(figure) for figure in said.split()]


def index(probe, image):
    """Seconds of the pass over a layer that is not indexed yet, bytes of its index, entries, spans."""
    cache = data.BENCH / "index-cache"
    shutil.rmtree(cache, ignore_errors=True)
    machine.read_through(image.blob)
    seconds, size, entries = run(probe, "index", data.LAYOUT, cache, layer(image)).split()
    # Where src/layer/index/layout.rs has the number of spans.
    head = (cache / "lkit/index" / image.digest.removeprefix("sha256:")).read_bytes()[:104]
    (spans,) = struct.unpack_from("<I", head, 96)
    shutil.rmtree(cache)
    return float(seconds), int(size), int(entries), spans


@contextlib.contextmanager
def mounted(name, *more, cache=None, folder=MOUNT, sources=LAYOUTS, **options):
    """A spec mounted by a server in the foreground; yields its folder and the watched process."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [PROGRAM, "mount", "--quiet", "--foreground", "--cache", cache or CACHE, *sources, *more, name if isinstance(name, pathlib.Path) else data.spec(name), folder]
    with machine.server(argv, lambda: machine.is_mounted(folder), **options) as (_, watch):
        yield folder, watch


@contextlib.contextmanager
def mounted_as_user(name):
    """The same by and for an ordinary user."""
    home = data.BENCH / "user"
    for folder in (home, home / "mount"):
        folder.mkdir(exist_ok=True)
        os.chown(folder, USER, USER)
    options = {"user": USER, "group": USER, "extra_groups": []}
    with mounted(name, cache=home / "cache", folder=home / "mount", **options) as (folder, watch):
        yield folder, watch, options


@contextlib.contextmanager
def diff(probe, image, workers):
    """The uncompressed tar of a layer mounted by the library, with so many workers."""
    MOUNT.mkdir(parents=True, exist_ok=True)
    argv = [probe, "diff", data.LAYOUT, CACHE, layer(image), workers, MOUNT]
    process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        machine.wait_until(lambda: machine.is_mounted(MOUNT), 60, process)
        yield MOUNT / "diff"
    finally:
        process.communicate(timeout=60)


@contextlib.contextmanager
def empty(probe, folders, files):
    """A file system that does nothing."""
    folder = data.BENCH / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen([probe, "empty", folder, str(folders), str(files)])
    try:
        machine.wait_until(lambda: machine.is_mounted(folder), 60, process)
        yield folder
    finally:
        run("umount", folder)
        process.wait(timeout=60)


def mount_seconds(spec):
    """From starting `lkit mount` to the first `stat initrd.img`; the mount stays."""
    MOUNT.mkdir(parents=True, exist_ok=True)
    argv = list(map(str, [PROGRAM, "mount", "--quiet", "--cache", CACHE, *LAYOUTS, spec, MOUNT]))
    start = now()
    subprocess.run(argv, check=True)
    os.stat(MOUNT / "initrd.img")
    return now() - start


def streamed(spec):
    """Bytes of the tar of a spec, streamed and read to its end; no registry is asked."""
    argv = list(map(str, [PROGRAM, "build", "--quiet", "--offline", "--cache", CACHE, *LAYOUTS, "-f", "tar", "-o", "-", spec]))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        size = sum(iter(lambda: len(process.stdout.read(1 << 20)), 0))
    if process.returncode:
        raise RuntimeError(f"`lkit build` ended with {process.returncode}")
    return size


def unmount():
    run(PROGRAM, "umount", MOUNT)


def server_of(folder):
    """Process id of the server in the background behind a mount."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"lkit") and os.fsencode(folder) in words:
                return int(process.name)
    raise RuntimeError(f"nobody serves `{folder}`")


def random_reads(path, count, seed=1):
    """Seconds of each of `count` reads of 4 KiB anywhere in a file."""
    numbers, seconds = random.Random(seed), []
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        for _ in range(count):
            offset = numbers.randrange(size // 4096) * 4096
            start = now()
            os.pread(fd, 4096, offset)
            seconds.append(now() - start)
    finally:
        os.close(fd)
    return seconds
