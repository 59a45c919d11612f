"""One round of all measurements. Each adds what it found under a name; a run is several rounds, told as medians."""
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import data
import doors
import enclaves
import far as farther
import lkit
import machine
import peers
import pushes
import roots as compressed
import vhost
from machine import drop_caches, now, rate

FOLDERS, FILES = 50, 1000  # what stat and readdir are measured on
READ_MEMORY = 2 << 30  # what reading an initrd.img fills, and more


class Run:
    """Samples of one build. `probe` is its own, `judge` the one that plain decoding is measured with."""

    def __init__(self, images, probe, judge, quick):
        self.images, self.probe, self.judge, self.quick = images, probe, judge, quick
        self.samples = collections.defaultdict(list)
        self.large = images["large-gzip"]

    def add(self, name, value):
        self.samples[name].append(value)

    def peak(self, name, watch):
        self.add(name, watch.peak)

    def count(self, full, quick):
        return quick if self.quick else full


def cold(image):
    """Nothing of a mount is in memory; the blobs are, as for P: disks differ more than what is measured."""
    drop_caches()
    machine.touch_memory(READ_MEMORY)
    for blob in (image.blob, *data.SMALL_LAYOUT.glob("blobs/sha256/*")):
        machine.read_through(blob)


def decode(run):
    """Plain decoding, the pass, and the index (goals 1, 2 and 8)."""
    for codec in ("gzip", "zstd"):
        image = run.images[f"large-{codec}"]
        plain, size = lkit.decoding(run.judge, "plain", image.blob)
        best = plain
        if codec == "gzip":
            best, _ = lkit.decoding(run.judge, "best", image.blob)
            engine, _ = lkit.decoding(run.judge, "engine", image.blob)
            run.add("engine", engine)
            run.add("engine / best", engine / best)
        seconds, index, entries, spans = lkit.index(run.probe, image)
        run.add(f"P {codec}", plain)
        run.add(f"best {codec}", best)
        run.add(f"pass {codec}", size / 1e6 / seconds)
        run.add(f"pass {codec} / best", size / 1e6 / seconds / best)
        run.add(f"index {codec}", index)
        run.add(f"spans {codec}", spans)
        run.add(f"blob {codec}", image.size)
        run.add("diff", size)
        run.add("entries", entries)


def sequential(run):
    """Reading initrd.img cold and warm, at random, and its memory (goals 3, 5, 8, 9)."""
    with lkit.mounted("large-gzip") as (folder, watch):
        initrd = folder / "initrd.img"
        cold(run.large)
        run.add("read root", rate(initrd))
        run.add("initrd", os.stat(initrd).st_size)
        reread(run, initrd)
        cold(run.large)
        seconds = lkit.random_reads(initrd, run.count(400, 100))
        run.add("random p50", machine.median(seconds))
        run.add("random p99", machine.percentile(seconds, 0.99))
    run.peak("memory read", watch)


def cold_reads(run):
    """What `sequential` measures of lkit itself, in seconds."""
    with lkit.mounted("large-gzip") as (folder, _):
        initrd = folder / "initrd.img"
        cold(run.large)
        run.add("read root", rate(initrd))
        rate(initrd)
        run.add("reread", rate(initrd))
        cold(run.large)
        seconds = lkit.random_reads(initrd, 200)
        run.add("random p50", machine.median(seconds))
        run.add("random p99", machine.percentile(seconds, 0.99))


def reread(run, initrd):
    """Reading what the kernel has in memory already: initrd.img, a file of the file system below, one of a file system
    that does nothing (goal 8)."""
    with lkit.empty(run.probe, 1, 1) as nothing:
        zeros = nothing / "000.txt/000.txt"
        with machine.page_lists_used_up():
            native = peers.native_copy(initrd)
            rate(zeros)
        for name, file in (("reread", initrd), ("native", native), ("reread empty", zeros)):
            # The second read of a page makes it an active one, which costs the kernel a copy; the third is what stays.
            rate(file)
            run.add(name, rate(file))
        native.unlink()


def as_user(run):
    """The same for an ordinary user, who may not raise the kernel's read-ahead (goal 3)."""
    with lkit.mounted_as_user("large-gzip") as (folder, _, user):
        cold(run.large)
        run.add("read user", rate(folder / "initrd.img", **user))


def together(run):
    """Many readers at once (goal 9)."""
    few, many = (lkit.readers(run.probe, run.large, count) for count in (2, 16))
    for name, two, sixteen in zip(("apart", "same", "warm", "random"), few, many):
        run.add(f"readers {name} 2", two)
        run.add(f"readers {name} 16", sixteen)


def one_worker(run):
    """Goal 4."""
    with lkit.diff(run.probe, run.large, 1) as diff:
        cold(run.large)
        run.add("read one worker", rate(diff))


def zstd(run):
    """A single zstd frame can only be decoded forwards."""
    with lkit.mounted("large-zstd") as (folder, watch):
        cold(run.images["large-zstd"])
        run.add("read zstd", rate(folder / "initrd.img"))
    run.peak("memory zstd", watch)


def mounts(run):
    """Mounting with indexes, and mounting again after a change (goals 6 and 12)."""
    for name, label in (("small", "mount small"), ("large-gzip", "mount large"), ("million", "mount million")):
        for _ in range(run.count(5, 2)):
            run.add(label, lkit.mount_seconds(data.spec(name)))
            lkit.unmount()
    changed = data.BENCH / "changed.yml"
    changed.write_text(data.spec("large-gzip").read_text().replace('"debug": true', f'"debug": {random.random()}'))
    lkit.mount_seconds(data.spec("large-gzip"))
    start = now()
    lkit.unmount()
    lkit.mount_seconds(changed)
    run.add("remount changed", now() - start)
    watch = machine.Watch(lkit.server_of(lkit.MOUNT))
    run.add("remount read", watch.io["rchar"])
    watch.end()
    lkit.unmount()
    edits(run, changed)


def edits(run, spec):
    """From an edit of a spec that is followed to the size of its new initrd, with nothing decoded (goal D6)."""
    with lkit.mounted(spec, "--watch", "--watch-interval", "off") as (folder, _):
        stats = lambda: json.loads((folder / ".lkit/stats.json").read_text())
        os.stat(folder / "initrd.img")
        before = stats()
        for number in range(run.count(5, 2)):
            # Longer each time, so that its size tells the new one.
            text = spec.read_text().replace('"debug": ', f'"debug": 1{"0" * 5000 * (number + 1)}')
            size = os.stat(folder / "initrd.img").st_size
            start = now()
            (spec.parent / "changed.new").write_text(text)
            (spec.parent / "changed.new").rename(spec)
            while os.stat(folder / "initrd.img").st_size == size:
                time.sleep(0.0005)
            run.add("edit seen", now() - start)
        after = stats()
        run.add("edit decoded", after["decoded"] - before["decoded"] + after["fetched"]["bytes"])


def edit(run):
    """From an edit of a spec of 300 MB in 20 images to the end of its tar (goal S3)."""
    text = data.spec("twenty").read_text()
    lkit.streamed(data.spec("twenty"))
    files = lambda: {(path, path.stat().st_mtime_ns) for path in lkit.CACHE.rglob("*") if path.is_file()}  # noqa: E731
    changed = data.BENCH / "changed.yml"
    for _ in range(run.count(5, 2)):
        before = files()
        start = now()
        changed.write_text(text.replace('"0"', f'"{random.random()}"'))
        size = lkit.streamed(changed)
        run.add("edit streamed", now() - start)
        run.add("edit written", len(files() - before))
    run.add("edit size", size)


def roots(run):
    """A compressed squashfs of 900 MB, against mksquashfs (goal O2)."""
    with compressed.unpacked("large-gzip") as (files, work):
        run.add("root mksquashfs", compressed.mksquashfs(files, work / "peer.img"))
        run.add("root peer size", (work / "peer.img").stat().st_size)
        for blob in (run.large.blob, *data.SMALL_LAYOUT.glob("blobs/sha256/*")):
            machine.read_through(blob)
        image, seconds, watch = compressed.build("large-gzip", work, "--compress", compressed.CODEC)
        run.add("root seconds", seconds)
        run.add("root size", image.stat().st_size)
        run.peak("root memory", watch)


def from_nothing(run):
    """From an empty cache and a registry to a read initrd, against the same by hand (goals 7 and 9)."""
    references = references_of("large-gzip")
    with peers.registry(references) as mirror:
        cache = data.BENCH / "fresh-cache"
        shutil.rmtree(cache, ignore_errors=True)
        drop_caches()
        start = now()
        with lkit.mounted("large-gzip", "--mirror", mirror, cache=cache, sources=[]) as (folder, watch):
            run.add("nothing to mount", now() - start)
            machine.read_through(folder / "initrd.img")
            run.add("nothing to initrd", now() - start)
        run.peak("memory first", watch)
        run.add("written first", watch.io["write_bytes"])
        shutil.rmtree(cache)
        seconds, without_fetch, written = peers.by_hand(list(filter(peers.can_unpack, references)))
        run.add("by hand", seconds)
        run.add("by hand, fetched", without_fetch)
        run.add("by hand written", written)
        built = peers.linuxkit(data.spec("large-gzip"), mirror)
        if built is not None:
            run.add("linuxkit build", built)


def references_of(name):
    """The references of a spec as the layouts have them, each with its layout."""
    found = []
    for text in re.findall(r"(?:image: |^  - )\"?([a-z/-]+:[a-z0-9.]+)\"?$", data.spec(name).read_text(), re.M):
        full = "docker.io/" + (text if "/" in text else f"library/{text}")
        found.append((full, data.LAYOUT if "/bench/" in full else data.SMALL_LAYOUT))
    return found


def names(run):
    """stat and readdir against a file system that does nothing, a million files (goals 8, 9 and 10)."""
    with lkit.mounted("million") as (folder, watch):
        watch.look()
        (million,) = (folder / "rootfs").glob("containers/services/extra/*/million")
        with lkit.empty(run.probe, FOLDERS, FILES) as nothing:
            for label, where, suffix in (("lkit", million, ""), ("empty", nothing, ".txt")):
                drop_caches()
                run.add(f"readdir {label}", list_folders(where, suffix))
                drop_caches()
                run.add(f"stat {label}", stat_files(where, suffix))
        os.stat(folder / "initrd.img")
        watch.look()
        run.add("memory million mounted", watch.anon)
        run.add("ls million", machine.timed(lambda: machine.run("ls", "-R", folder / "rootfs", stdout=subprocess.DEVNULL)))
        drop_caches()
        run.add("read million", rate(folder / "initrd.img"))
    run.peak("memory million", watch)
    with lkit.mounted("small") as (folder, watch):
        os.stat(folder / "initrd.img")
        watch.look()
        run.add("memory small mounted", watch.anon)


def list_folders(where, suffix):
    """Seconds an entry."""
    start = now()
    for number in range(FOLDERS):
        assert len(os.listdir(where / f"{number:03}{suffix}")) == FILES
    return (now() - start) / (FOLDERS * FILES)


def stat_files(where, suffix):
    """Seconds a file, without listing its folder first."""
    folders = [f"{where}/{number:03}{suffix}" for number in range(10)]
    files = [f"{folder}/{number:03}.txt" for folder in folders for number in range(FILES)]
    start = now()
    for file in files:
        os.stat(file)
    return (now() - start) / len(files)


def machines(run):
    """The bytes of blobs that the server reads when one machine, and when eight start from a mount (goal 11)."""
    for count in (1, 8):
        with lkit.mounted("small") as (folder, watch):
            initrd = folder / "initrd.img"
            run.add("initrd small", os.stat(initrd).st_size)
            drop_caches()
            watch.look()
            before = watch.io["rchar"]
            start = now()
            start_machines(folder, count)
            watch.look()
            run.add(f"machines {count}", watch.io["rchar"] - before)
            run.add(f"machines {count} seconds", now() - start)
    # The host of a virtual machine takes some seconds of it to take the memory of the machines back.
    time.sleep(5)


def start_machines(folder, count):
    """Start so many at once, and wait until the kernel of each has taken its initrd."""
    with tempfile.TemporaryDirectory() as work:
        consoles = [f"{work}/{number}" for number in range(count)]
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-display", "none", "-no-reboot",
                "-kernel", folder / "kernel", "-initrd", folder / "initrd.img",
                "-append", (folder / "cmdline").read_text().strip() + " earlyprintk=serial"]
        running = [subprocess.Popen([*map(str, argv), "-serial", f"file:{console}"]) for console in consoles]
        try:
            machine.wait_until(lambda: all(has_started(console) for console in consoles), 600)
        finally:
            for one in running:
                one.kill()
                one.wait()


def has_started(console):
    return os.path.exists(console) and b"Linux version" in open(console, "rb").read()


def ratarmount(run):
    """The nearest peer, with both of its gzip backends."""
    for backend in ("rapidgzip",) if run.quick else ("rapidgzip", "indexed_gzip"):
        with peers.ratarmount(run.large.blob, backend, fresh=True) as (_, seconds, watch, index):
            run.add(f"{backend} first", seconds)
        run.add(f"{backend} index", index.stat().st_size)
        run.peak(f"memory {backend}", watch)
        with peers.ratarmount(run.large.blob, backend, fresh=False) as (folder, seconds, watch, _):
            run.add(f"{backend} mount", seconds)
            files = peers.files_below(folder)
            cold(run.large)
            run.add(f"{backend} read", peers.read_all(files))
            cold(run.large)
            seconds = peers.random_reads(files, run.count(100, 30))
            run.add(f"{backend} p50", machine.median(seconds))
            run.add(f"{backend} p99", machine.percentile(seconds, 0.99))
        run.peak(f"memory {backend}", watch)


def far(run):
    """What is fetched from a registry that has the indexes, by a machine that has nothing (F1 to F8 of layers that are
    read without being fetched)."""
    references = references_of("large-gzip")
    work = data.BENCH / "far"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    spec = work / "large.yml"
    spec.write_text(data.spec("large-gzip").read_text())
    sizes = [layer["size"] for reference, layout in references for layer in data.layers(reference, layout)]
    run.add("far image", sum(sizes))
    with peers.registry(references) as mirror:
        proxy = farther.Far(peers.PORT)
        there = ["--mirror", f"docker.io=http://{proxy.host}"]
        shop = f"{proxy.host}/bench/indexes"
        maker = ["--cache", work / "maker", *there]
        machine.run(lkit.PROGRAM, "index", "push", "--quiet", "--to", shop, *maker, spec)
        machine.run(lkit.PROGRAM, "lock", "--quiet", "--trust-indexes", shop, *maker, spec)
        locked = ["--locked", *there]
        first_stat(run, proxy, spec, locked, work)
        many_mounts(run, proxy, spec, locked, work)
        kept(run, proxy, spec, there, work)
        prompts(run, proxy, spec, locked, work)


def first_stat(run, proxy, spec, locked, work):
    """What is asked before `stat initrd.img`, and how many answers are waited for one after another (F3, F7, F8)."""
    seconds = {}
    for delay in (0.0, 0.1):
        proxy.reset(delay)
        cache = work / f"stat-{delay}"
        start = now()
        with lkit.mounted(spec, *locked, "--store", "index", cache=cache, sources=[]) as (folder, _):
            os.stat(folder / "initrd.img")
            seconds[delay] = now() - start
            if not delay:
                summaries = [blob for blob in (cache / "blobs/sha256").iterdir() if is_summary(blob)]
                run.add("far index questions", sum(proxy.asked(blob.name) for blob in summaries))
                run.add("far summaries", sum(blob.stat().st_size for blob in summaries))
                run.add("far images", len(set(references_of("large-gzip"))))
                run.add("far before stat", proxy.bytes)
    run.add("far answers", (seconds[0.1] - seconds[0.0]) / 0.1)
    proxy.reset()
    machine.run(lkit.PROGRAM, "inspect", "--quiet", "--json", "--cache", work / "inspect", *locked, spec)
    run.add("far inspect", proxy.bytes)
    proxy.reset()
    machine.run(lkit.PROGRAM, "lock", "--quiet", "--cache", work / "lock", *locked[1:], spec.rename(work / "again.yml"))
    (work / "again.yml").rename(spec)
    run.add("far lock", proxy.bytes)


def is_summary(blob):
    return blob.open("rb").read(8) == b"lkit-sum"


SLOW = 3_000_000  # bytes in a second


def prompts(run, proxy, spec, locked, work):
    """What is fetched until the guest's prompt appears, and how long that takes at 3 MB/s, against the same boot from blobs
    that are here (F1, F2, F4)."""
    reads = work / "reads.json"
    options = ["--record", reads, "--cache", work / "local", *lkit.LAYOUTS]
    run.add("far boot here", seconds_to_prompt([*options, data.spec("large-gzip")]))
    for name, more in (("alone", []), ("list", ["--reads", reads])):
        proxy.reset(rate=SLOW)
        run.add(f"far boot {name}", seconds_to_prompt([*locked, "--cache", work / f"boot-{name}", *more, spec]))
        run.add(f"far boot {name} bytes", proxy.bytes)
        run.add(f"far boot {name} ranges", proxy.ranges)
    run.add("far boot", 1)


def seconds_to_prompt(options):
    """From starting `lkit run` to the prompt of the guest, which is emulated."""
    argv = [lkit.PROGRAM, "run", "--quiet", "--accel", "tcg", "--cpus", "2", "--root", "squashfs", *options]
    start = now()
    process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    console = b""
    try:
        while b"~ # " not in console:
            assert (chunk := os.read(process.stdout.fileno(), 1 << 16)), console[-2000:]
            console += chunk
        return now() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def kept(run, proxy, spec, there, work):
    """Bytes on the disk after everything was read (F5)."""
    for store in ("index", "none"):
        proxy.reset()
        cache = work / f"kept-{store}"
        with lkit.mounted(spec, *there, "--store", store, cache=cache, sources=[]) as (folder, _):
            machine.read_through(folder / "initrd.img")
        run.add(f"far kept {store}", machine.disk_usage(cache))


def many_mounts(run, proxy, spec, locked, work):
    """Bytes from the registry for one mount that is read, and for 32 of one cache at once (F6)."""
    for count in (1, 32):
        proxy.reset()
        cache = work / f"mounts-{count}"
        with contextlib.ExitStack() as stack:
            folders = [work / f"mount-{number}" for number in range(count)]
            mounts = [stack.enter_context(lkit.mounted(spec, *locked, cache=cache, sources=[], folder=folder))
                      for folder in folders]
            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda mount: lkit.random_reads(mount[0] / "initrd.img", 20), mounts))
        run.add(f"far mounts {count}", proxy.bytes)


def block_devices(run):
    """Network block devices: how soon they are served, warm reads, and cold ones (D1 to D5)."""
    spec = data.spec("large-gzip")
    for _ in range(run.count(5, 2)):
        with doors.served(spec) as (_, seconds, watch):
            watch.look()
            run.add("doors ready", seconds)
            run.add("doors written", watch.io["write_bytes"])
    disk, port = "large-gzip-efi.img", doors.free_port()
    more = ["--vhost-user", f"WORK/disk.sock={disk}", "--listen", f"http://127.0.0.1:{port}"]
    with doors.served(spec, *more) as (path, _, watch), lkit.mounted("large-gzip") as (folder, _):
        with doors.nbdkit_memory() as memory, doors.qemu_nbd(folder / disk) as nbd, doors.qemu_storage_daemon(folder / disk) as daemon:
            servers = [("lkit", doors.url(path, disk)), ("memory", doors.url(memory)), ("qemu-nbd", doors.url(nbd)),
                       ("qemu-storage-daemon", doors.url(daemon))]
            for size in (4096, 131072):
                for name, where in servers:
                    run.add(f"doors {name} {size}", doors.warm(where, size))
        with vhost.disk(path.with_name("disk.sock"), 1, 4096) as reader:
            run.add("doors vhost warm", machine.median([reader.seconds(at % doors.WARM) for at in range(0, doors.WARM * 4, 65536 + 4096)]))
        initrd = os.stat(folder / "initrd.img").st_size
        ways = [
            ("read", lambda: doors.copied(doors.url(path, "initrd.img"), initrd)),
            ("http", lambda: doors.downloaded(f"http://127.0.0.1:{port}/initrd.img", initrd)),
            ("fuse", lambda: rate(folder / "initrd.img")),
            ("fuse disk", lambda: rate(folder / disk)),
            ("vhost", lambda: doors.sectors(path.with_name("disk.sock"), os.stat(folder / disk).st_size)),
        ]
        for name, read in ways:
            cold(run.large)
            run.add(f"doors {name}", read())
        watch.look()
        before = watch.anon
        with doors.connected(port, 1000):
            watch.look()
            run.add("doors idle", watch.anon - before)


def enclave(run):
    """What an enclave measures of an image of 2 GB, against decoding it and then hashing it (O1)."""
    plain, _ = lkit.decoding(run.judge, "plain", run.large.blob)
    size, hashed = enclaves.sizes()
    cold(run.large)
    seconds, memory, written = enclaves.measured()
    run.add("enclave size", size)
    run.add("enclave alone", size / plain / 1e6 + hashed / enclaves.sha384())
    run.add("enclave", seconds)
    run.add("enclave memory", memory)
    run.add("enclave written", written)


def push(run):
    """Pushing a disk of 1 GB to an emulator and to a server that reads alone, against reading it through a mount (O4)."""
    cold(run.large)
    seconds, size = pushes.mounted()
    run.add("push mount", size / 1e6 / seconds)
    for name, server in (("sink", pushes.sink), ("moto", pushes.moto)):
        cold(run.large)
        with server() as address:
            size, seconds, memory, written = pushes.pushed(address)
        run.add("push size", size)
        run.add(f"push {name}", size / 1e6 / seconds)
        run.add("push memory", memory)
        run.add("push written", written)


# In this order in every round, so that what drifts on the machine touches all alike.
ALL = [decode, sequential, as_user, one_worker, zstd, together, mounts, edit, names, ratarmount, from_nothing, machines, block_devices, far, roots, enclave, push]
# What a change to `layer`, `extent` or `serve` is shown with, and what it prints: (name, whether more is better).
AGAINST = [decode, cold_reads, one_worker, zstd]
COMPARED = [
    ("pass gzip", True), ("pass zstd", True), ("index gzip", False), ("read root", True), ("read one worker", True),
    ("read zstd", True), ("random p50", False), ("random p99", False), ("reread", True),
]
