"""The machine: caches dropped, programs timed, processes watched."""
import contextlib
import mmap
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import threading
import time

BLOCK = 1 << 20


def now():
    return time.perf_counter()


def drop_caches():
    """Nothing of any file stays in memory, names and attributes included."""
    os.sync()
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def touch_memory(size):
    """Have the host of a virtual machine give so many bytes of memory, which the next to want some will get: the first
    touch of a page costs it more than anything that is measured does."""
    touched(size).close()


def touched(size):
    """So many bytes of memory that the system has really given."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)


@contextlib.contextmanager
def page_lists_used_up():
    """Nothing of any file is in memory at first, and the free pages that each processor keeps for itself are taken.

    Dropping caches leaves these lists with gigabytes of single pages in no order. Files in pages of 4 KiB, as those of
    FUSE, would get them, and be read again at half the speed that they have elsewhere; files in larger pages would not.
    """
    drop_caches()
    processors = os.sched_getaffinity(0)
    taken = []
    try:
        for processor in processors:
            os.sched_setaffinity(0, {processor})
            taken.append(touched(max(pages_kept_by(processor), 1) * mmap.PAGESIZE))
        os.sched_setaffinity(0, processors)
        yield
    finally:
        os.sched_setaffinity(0, processors)
        for memory in taken:
            memory.close()


def pages_kept_by(processor):
    """Free pages in the lists of one processor."""
    lists = re.findall(r"cpu: (\d+)\s+count:\s+(\d+)", pathlib.Path("/proc/zoneinfo").read_text())
    return sum(int(count) for owner, count in lists if int(owner) == processor)


def timed(action):
    """Seconds that a call takes."""
    start = now()
    action()
    return now() - start


def run(*argv, **options):
    options = {"check": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    done = subprocess.run([str(a) for a in argv], **(options | {"check": False}))
    if options["check"] and done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, argv))}` failed: {(done.stderr or '').strip()[-2000:]}")
    return done.stdout


def read_through(path):
    """Read a file from front to back; returns its bytes."""
    total, buffer = 0, bytearray(BLOCK)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def rate(path, **options):
    """MB/s of reading a file from front to back, by dd."""
    said = subprocess.run(["dd", f"if={path}", "of=/dev/null", "bs=1M"], check=True, text=True, stderr=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C"), **options).stderr
    size, seconds = re.search(r"^(\d+) bytes.* copied, ([\d.e+-]+) s", said, re.M).groups()
    return int(size) / 1e6 / float(seconds)


def is_mounted(folder):
    """Whether something is mounted there; works for mounts that root may not look into."""
    return any(line.split()[1] == str(folder) for line in open("/proc/self/mounts"))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


median = statistics.median


class Watch:
    """Peak anonymous memory of a process and its I/O, looked at every 10 ms."""

    def __init__(self, pid):
        self.pid, self.peak, self.io = pid, 0, {}
        # Kept open, so that looking costs what is measured as little as it can.
        self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        self.look()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def look(self):
        """Take a sample now; false when the process is gone."""
        try:
            io = pathlib.Path(f"/proc/{self.pid}/io").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        self.io = {k: int(v) for k, v in (line.split(":") for line in io.splitlines())}
        return self._look_at_memory()

    def _look_at_memory(self):
        try:
            status = os.pread(self._status, 4096, 0)
        except ProcessLookupError:
            return False
        # A process that is going away has no memory any more.
        found = re.search(rb"^RssAnon:\s*(\d+)", status, re.M)
        self.anon = int(found[1]) << 10 if found else 0
        self.peak = max(self.peak, self.anon)
        return True

    def _sample(self):
        while self._look_at_memory() and not self._over.wait(0.01):
            pass

    def end(self):
        self._over.set()
        self._thread.join()
        os.close(self._status)


def wait_until(true, limit, process=None):
    """Poll until `true()`; a fault when it takes longer than `limit` seconds or the process ends."""
    end = now() + limit
    while not true():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"`{' '.join(map(str, process.args))}` ended with status {process.returncode}")
        if now() > end:
            raise RuntimeError(f"nothing happened within {limit} s")
        # Looking takes the processor from what is waited for.
        time.sleep(0.002)


@contextlib.contextmanager
def server(argv, ready, limit=600, **options):
    """A server process in the foreground, watched, ended by SIGTERM."""
    process = subprocess.Popen([str(a) for a in argv], **options)
    watch = Watch(process.pid)
    try:
        wait_until(ready, limit, process)
        yield process, watch
    finally:
        watch.look()
        watch.end()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def describe():
    """What the figures were measured on."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB of memory, Linux {'.'.join(platform.release().split('.')[:2])}"


def load():
    """Others that want the processors: the load average of the last minute."""
    return os.getloadavg()[0]


def disk_usage(folder):
    """Bytes of a folder and all in it that take room on the disk; none where there is no folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.stat().st_blocks * 512 for path in files)
