"""A root that `lkit build` compresses while it writes it, beside mksquashfs over the same files, unpacked and in memory."""
import contextlib
import pathlib
import subprocess
import tempfile

import data
import lkit
import machine
from machine import now, run

CODEC = "zstd"  # at its level 15, which is the default of both, in blocks of 128 KiB


def build(spec, folder, *more):
    """The squashfs of a spec in a folder, the seconds it takes, and the watched process."""
    argv = [lkit.PROGRAM, "build", "--quiet", "--offline", "--cache", lkit.CACHE, *lkit.LAYOUTS, "-f", "kernel+squashfs",
            "--name", "root", "--dir", folder, *more, data.spec(spec)]
    start = now()
    process = subprocess.Popen([str(argument) for argument in argv])
    watch = machine.Watch(process.pid)
    status = process.wait()
    seconds = now() - start
    watch.end()
    if status:
        raise RuntimeError(f"`lkit build` ended with {status}")
    return folder / "root-squashfs.img", seconds, watch


@contextlib.contextmanager
def unpacked(spec):
    """The root of a spec as files, read once so that they are in memory."""
    with tempfile.TemporaryDirectory(dir=data.BENCH) as work:
        work = pathlib.Path(work)
        image, _, _ = build(spec, work)
        run("unsquashfs", "-quiet", "-no-progress", "-dest", work / "files", image)
        image.unlink()
        for path in (work / "files").rglob("*"):
            if path.is_file() and not path.is_symlink():
                machine.read_through(path)
        yield work / "files", work


def mksquashfs(files, image):
    """Seconds of mksquashfs."""
    start = now()
    run("mksquashfs", files, image, "-comp", CODEC, "-noappend", "-quiet", "-no-progress")
    return now() - start
