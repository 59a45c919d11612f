"""`lkit serve` as network block devices, beside nbdkit's memory, and what Debian has for a file: qemu-nbd and
qemu-storage-daemon over the FUSE mount."""
import contextlib
import json
import pathlib
import socket
import subprocess
import tempfile

import lkit
import machine
import vhost
from machine import now, run

WARM = 16 << 20  # bytes that are read again and again: less than lkit keeps decoded
SECONDS = 3  # of reading


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def greeting(path):
    """The first bytes of an NBD server; they come when it serves, which a connection may have to wait for."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return client.recv(18, socket.MSG_WAITALL)


def serves(path):
    with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
        return greeting(path).startswith(b"NBDMAGIC")


@contextlib.contextmanager
def served(spec, *more):
    """A spec at a socket; yields the socket, the seconds until it is served, and the watched process."""
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / "lkit.sock"
        argv = [lkit.PROGRAM, "serve", "--quiet", "--cache", lkit.CACHE, *lkit.LAYOUTS, "--listen", f"nbd+unix://{path}"]
        argv += [word.replace("WORK", work) for word in more]
        start = now()
        with machine.server([*argv, spec], lambda: serves(path)) as (_, watch):
            yield path, now() - start, watch


@contextlib.contextmanager
def peer(name, argv):
    """Another server at a socket; `argv` makes its arguments of the path."""
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / f"{name}.sock"
        with machine.server(argv(path), lambda: serves(path), stderr=subprocess.DEVNULL):
            yield path


def nbdkit_memory():
    return peer("nbdkit", lambda path: ["nbdkit", "--foreground", "--unix", path, "memory", str(WARM)])


def qemu_nbd(file):
    return peer("qemu-nbd", lambda path: ["qemu-nbd", "--read-only", "--format=raw", "--persistent", f"--socket={path}", file])


def qemu_storage_daemon(file):
    def argv(path):
        return ["qemu-storage-daemon", "--blockdev", f"driver=file,filename={file},node-name=file,read-only=on",
                "--nbd-server", f"addr.type=unix,addr.path={path}", "--export", "type=nbd,id=x,node-name=file,name="]

    return peer("qemu-storage-daemon", argv)


def url(path, export=""):
    return f"nbd+unix:///{export}?socket={path}"


def warm(where, size):
    """Reads in a second of so many bytes each, anywhere in what was read before, sixteen at a time."""
    argv = ["fio", "--name=x", "--ioengine=nbd", f"--uri={where}", "--rw=randread", f"--bs={size}", "--iodepth=16",
            f"--size={WARM}", "--time_based", "--norandommap", "--output-format=json"]
    run(*argv, "--runtime=1")
    said = run(*argv, f"--runtime={SECONDS}")
    # It tells of the connection first.
    return json.loads(said[said.index("{"):])["jobs"][0]["read"]["iops"]


def copied(where, size):
    """MB/s of reading an export from front to back."""
    start = now()
    run("nbdcopy", where, "null:")
    return size / 1e6 / (now() - start)


def sectors(path, size):
    """MB/s of reading a disk by vhost-user-blk from front to back, by as many rings as a guest with two processors has."""
    with vhost.disk(path, 2, 1 << 20) as reader:
        return reader.read_through(size)


def downloaded(address, size):
    """MB/s of reading a file by HTTP."""
    start = now()
    run("curl", "--silent", "--fail", "--output", "/dev/null", address)
    return size / 1e6 / (now() - start)


@contextlib.contextmanager
def connected(port, count):
    """Connections that ask for nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        # Who comes last is answered when all before are let in.
        run("curl", "--silent", "--fail", "--head", f"http://127.0.0.1:{port}/index.json")
        yield
