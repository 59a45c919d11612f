"""What pushing a raw disk of some 1 GB costs, to an emulator of S3 and to a server that reads and forgets, beside reading the
same disk through a mount."""
import contextlib
import http.server
import json
import multiprocessing
import os
import socket
import subprocess
import threading
import urllib.request

import data
import lkit
import machine

SPEC, FORMAT, END = "large-gzip", "raw-efi", "-efi.img"
KEYS = {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}


class Sink(http.server.BaseHTTPRequestHandler):
    """Says yes to what an upload asks, reads the parts, and keeps nothing of them but how long they are."""

    protocol_version = "HTTP/1.1"
    size, lock = 0, threading.Lock()

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200, length=None):
        self.send_response(status)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"<ListMultipartUploadsResult/>")

    def do_HEAD(self):
        self.answer(length=Sink.size)

    def do_DELETE(self):
        self.answer(status=204)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(b"<CompleteMultipartUploadResult><UploadId>u</UploadId></CompleteMultipartUploadResult>")

    def do_PUT(self):
        left = length = int(self.headers["Content-Length"])
        view = memoryview(bytearray(machine.BLOCK))
        while left:
            count = self.rfile.readinto(view[: min(left, len(view))])
            if not count:
                return
            left -= count
        with Sink.lock:
            Sink.size += length
        self.answer()


def forget(listener):
    server = http.server.ThreadingHTTPServer(listener.getsockname(), Sink, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


@contextlib.contextmanager
def sink():
    """The address of a server that reads and forgets."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        process = multiprocessing.Process(target=forget, args=(listener,), daemon=True)
        process.start()
        try:
            yield "http://127.0.0.1:{}".format(listener.getsockname()[1])
        finally:
            process.kill()
            process.join()


@contextlib.contextmanager
def moto():
    """The address of an emulator of S3 with the bucket `bkt`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [data.ROOT / "target/clouds/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(list(map(str, argv)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        machine.wait_until(lambda: is_there(port), 60, process)
        address = f"http://127.0.0.1:{port}"
        urllib.request.urlopen(urllib.request.Request(f"{address}/bkt", method="PUT")).close()
        yield address
    finally:
        process.kill()
        process.wait()


def is_there(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def pushed(address):
    """Bytes that were pushed, seconds, peak anonymous memory, and bytes written."""
    argv = [lkit.PROGRAM, "push", "s3", "--quiet", "--json", "--cache", lkit.CACHE, "--offline", *lkit.LAYOUTS]
    argv += ["-f", FORMAT, "--bucket", "bkt", data.spec(SPEC)]
    start = machine.now()
    process = subprocess.Popen(
        list(map(str, argv)), stdout=subprocess.PIPE, env=os.environ | KEYS | {"AWS_ENDPOINT_URL": address}
    )
    watch = machine.Watch(process.pid)
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = machine.now() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    watch.end()
    if process.returncode:
        raise RuntimeError(f"`lkit push` ended with {process.returncode}")
    return json.loads(said)["size"], seconds, watch.peak, usage.ru_oublock * 512


def mounted():
    """Seconds that the same disk takes to be read through a mount, laid out and mounted, and its bytes."""
    start = machine.now()
    with lkit.mounted(SPEC) as (folder, _):
        (disk,) = folder.glob(f"{SPEC}{END}")
        size = machine.read_through(disk)
        return machine.now() - start, size
