"""The goals: what was wanted, what was measured, as Markdown."""
import dataclasses

import machine

MIB = 1 << 20
# Measured another time on this kind of machine: `linuxkit build` of a spec like large-gzip.yml, cold cache.
LINUXKIT_ELSEWHERE = {"seconds": 30.8, "memory": 1292e6, "remount": 23.9}


@dataclasses.dataclass
class Row:
    """A line of the table. `met` is None where nothing is demanded."""
    goal: str
    what: str
    figure: str
    wanted: str
    met: bool | None
    beside: str = ""

    def markdown(self):
        verdict = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.goal} | {self.what} | {self.figure} | {self.wanted} | {verdict} | {self.beside} |"


def ms(seconds):
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def mb(size):
    return f"{size / 1e6:.1f} MB"


def least(value, bound, text="{:.2f}"):
    return {"figure": text.format(value), "wanted": "≥ " + text.format(bound), "met": value >= bound}


def most(value, bound, text="{:.2f}"):
    return {"figure": text.format(value), "wanted": "≤ " + text.format(bound), "met": value <= bound}


def most_time(value, bound):
    return {"figure": ms(value), "wanted": f"≤ {ms(bound)}", "met": value <= bound}


class Figures:
    """Medians by name."""

    def __init__(self, samples):
        self.samples = samples

    def __getitem__(self, name):
        return machine.median(self.samples[name])

    def __contains__(self, name):
        return bool(self.samples.get(name))

    def top(self, *names):
        return max(value for name in names for value in self.samples.get(name, [0]))

    def span(self):
        """Seconds in which P decodes a mebibyte."""
        return MIB / 1e6 / self["P gzip"]


def rows(f):
    """Each goal whose figures are there."""
    groups = [
        ("P gzip", decoding), ("read root", reading), ("mount small", mounting), ("nothing to initrd", first_time),
        ("stat lkit", names), ("memory read", memory), ("ls million", million), ("machines 8", machines),
        ("remount changed", remount), ("edit streamed", edit), ("doors read", doors), ("far image", far), ("far boot", far_boot),
        ("root size", roots),
        ("enclave", enclave), ("push sink", push),
    ]
    return [row for name, make in groups if name in f for row in make(f)]


def decoding(f):
    beside = f"{f['engine']:.0f} MB/s; P* = {f['best gzip']:.0f} MB/s, P = {f['P gzip']:.0f} MB/s"
    yield Row("1", "inflate alone, 256 KiB at a time, in P*", **least(f["engine / best"], 0.95), beside=beside)
    beside = f"{f['pass gzip']:.0f} MB/s, {f['pass gzip'] / f['P gzip']:.2f} P"
    yield Row("2", "the pass, gzip, in P*", **least(f["pass gzip / best"], 0.88), beside=beside)
    beside = f"{mb(f['index gzip'])} of {mb(f['blob gzip'])}, {f['entries']:.0f} entries"
    if "rapidgzip index" in f:
        beside += f"; ratarmount {f['rapidgzip index'] / f['blob gzip']:.2%}"
    yield Row("2", "index / blob", **most(f["index gzip"] / f["blob gzip"], 0.015, "{:.2%}"), beside=beside)
    beside = f"P of zstd = {f['P zstd']:.0f} MB/s"
    yield Row("8", "the pass, zstd, in P of zstd", **least(f["pass zstd / best"], 0.88), beside=beside)


def reading(f):
    plain = f["P gzip"]
    beside = f"{f['read root']:.0f} MB/s"
    if "rapidgzip read" in f:
        beside += f"; ratarmount {f['rapidgzip read'] / plain:.2f} P"
    yield Row("3", "initrd.img front to back, cold, as root, in P", **least(f["read root"] / plain, 1.5), beside=beside)
    if "read user" in f:
        row = least(f["read user"] / plain, 1.4)
        yield Row("3", "the same as an ordinary user, in P", **row, beside=f"{f['read user']:.0f} MB/s")
    if "read one worker" in f:
        row = least(f["read one worker"] / plain, 1.35)
        yield Row("4", "with one decode worker, in P", **row, beside=f"{f['read one worker']:.0f} MB/s")
    peer = f"; ratarmount {ms(f['rapidgzip p50'])}" if "rapidgzip p50" in f else ""
    beside = f"{ms(f['random p50'])}; P decodes 1 MiB in {ms(f.span())}{peer}"
    row = most(f["random p50"] / f.span(), 0.3)
    yield Row("5", "random 4 KiB, cold, p50, in decodes of 1 MiB by P", **row, beside=beside)
    peer = f"; ratarmount {ms(f['rapidgzip p99'])}" if "rapidgzip p99" in f else ""
    yield Row("5", "the same, p99", **most(f["random p99"] / f.span(), 0.8), beside=ms(f["random p99"]) + peer)
    if "read zstd" in f:
        row = least(f["read zstd"] / f["P zstd"], 0.9)
        yield Row("8", "initrd.img of a zstd layer, cold, in P of zstd", **row, beside=f"{f['read zstd']:.0f} MB/s")
    for name, what in (("apart", "parts of their own"), ("same", "the same part"), ("warm", "what is cached"),
                       ("random", "4 KiB anywhere")):
        if f"readers {name} 16" in f:
            many, few = f[f"readers {name} 16"], f[f"readers {name} 2"]
            beside = f"{many:.0f} against {few:.0f} MB/s"
            yield Row("9", f"16 readers of {what}, of the throughput of 2", **least(many / few, 0.9), beside=beside)


def mounting(f):
    peer = f"ratarmount {ms(f['rapidgzip mount'])}" if "rapidgzip mount" in f else ""
    yield Row("7", "mount to `stat initrd.img`, small spec", **most_time(f["mount small"], 0.010))
    yield Row("7", "the same, 25,000 files", **most_time(f["mount large"], 0.050), beside=peer)


def first_time(f):
    mine, theirs = f["nothing to initrd"], f["by hand"]
    beside = f"{mine:.1f} s against {theirs:.1f} s (umoci and cpio alone {f['by hand, fetched']:.1f} s)"
    row = least(theirs / mine, 6.5, "{:.1f}")
    yield Row("6", "nothing cached to a read initrd, times as fast as skopeo, umoci, cpio", **row, beside=beside)
    if "linuxkit build" in f:
        beside, theirs = "same run", f["linuxkit build"]
    else:
        beside, theirs = "of another run", LINUXKIT_ELSEWHERE["seconds"]
    row = least(theirs / mine, 5, "{:.1f}")
    yield Row("6", "times as fast as `linuxkit build`", **row, beside=f"{theirs:.1f} s, {beside}")
    beside = f"by hand {mb(f['by hand written'])}"
    yield Row("", "bytes written on the way", mb(f["written first"]), "told", None, beside)


def names(f):
    share = f["reread"] / f["native"] if "reread" in f else 0
    if "reread" in f:
        beside = f"{f['reread']:.0f} of {f['native']:.0f} MB/s"
        yield Row("7", "warm reread, of the native page cache", **least(share, 0.8), beside=beside)
        share = f["reread"] / f["reread empty"]
        beside = f"{f['reread']:.0f} of {f['reread empty']:.0f} MB/s"
        yield Row("7", "the same, of a file system that does nothing", f"{share:.2f}", "told", None, beside)
    for call in ("stat", "readdir"):
        mine, theirs = f[f"{call} lkit"], f[f"{call} empty"]
        beside = f"{mine * 1e6:.2f} µs against {theirs * 1e6:.2f} µs an entry"
        yield Row("7", f"{call}, of a file system that does nothing", **most(mine / theirs, 1.1), beside=beside)


def memory(f):
    mine = f.top("memory read", "memory first", "memory zstd")
    beside = "; ".join([f"ratarmount {mb(f.top('memory rapidgzip'))}" if "memory rapidgzip" in f else "",
                        f"linuxkit {mb(LINUXKIT_ELSEWHERE['memory'])}, of another run"]).strip("; ")
    row = most(mine / MIB, 64, "{:.0f} MiB")
    yield Row("7", "peak anonymous memory, large image", **row, beside=beside)
    if "memory million mounted" in f:
        each = (f["memory million mounted"] - f["memory small mounted"]) / 1e6
        beside = f"peak {mb(f.top('memory million'))}"
        yield Row("7", "memory a file of the tree", **most(each, 100, "{:.0f} bytes"), beside=beside)


def million(f):
    if "mount million" in f:
        yield Row("", "mount of a million files", **most_time(f["mount million"], 2))
    beside = f"`ls -R` {f['ls million']:.1f} s, {f['read million']:.0f} MB/s"
    yield Row("", "`ls -R rootfs` and a full read", "work", "work", True, beside)


def machines(f):
    one, eight = f["machines 1"], f["machines 8"]
    beside = f"{mb(eight)} of blobs read against {mb(one)}"
    yield Row("", "decodes of a span by eight machines, of one machine's", **most(eight / one, 1.0, "{:.2f}") | {"met": eight <= one * 1.01}, beside=beside)


def remount(f):
    beside = f"{mb(f['remount read'])} read; linuxkit {LINUXKIT_ELSEWHERE['remount']:.0f} s, of another run"
    yield Row("7", "remounted after a change of one line", **most_time(f["remount changed"], 0.020), beside=beside)
    if "edit seen" in f:
        beside = f"{mb(f['edit decoded'])} decoded or fetched; linuxkit {LINUXKIT_ELSEWHERE['remount']:.0f} s, EVE 220 s, of other runs"
        yield Row("D6", "an edited spec seen in a mount that follows it, 25,000 files", **most_time(f["edit seen"], 0.050), beside=beside)


def edit(f):
    beside = f"{mb(f['edit size'])}, {f['edit written']:.0f} files written in the cache"
    yield Row("S3", "from an edit of a spec with 20 images to the end of its tar", **most_time(f["edit streamed"], 1), beside=beside)


def doors(f):
    row = most_time(f["doors ready"], 0.015)
    yield Row("D1", "`lkit serve` to the first answer, 25,000 files", **row, beside=f"{f['doors written']:.0f} bytes written")
    for size, name, wanted in ((4096, "4 KiB", 0.8), (131072, "128 KiB", 0.7)):
        mine, memory = (f[f"doors {server} {size}"] for server in ("lkit", "memory"))
        peers = ", ".join(f"{server} over FUSE {f[f'doors {server} {size}'] / memory:.2f}" for server in ("qemu-nbd", "qemu-storage-daemon"))
        beside = f"{mine:.0f} a second; {peers}"
        yield Row("D2", f"{name} by NBD, warm, 16 at a time, of nbdkit's memory", **least(mine / memory, wanted), beside=beside)
    beside = f"{f['doors vhost']:.0f} MB/s; by NBD {f['doors read'] / f['doors fuse']:.2f}"
    row = least(f["doors vhost"] / f["doors fuse disk"], 1.3)
    yield Row("D3", "a disk by vhost-user-blk, cold, of the FUSE mount", **row, beside=beside)
    row = most_time(f["doors vhost warm"], 20e-6)
    yield Row("D4", "4 KiB by vhost-user-blk, beyond decoding", **row)
    row = least(f["doors http"] / f["doors fuse"], 0.9)
    yield Row("D5", "initrd.img by HTTP, cold, of the FUSE mount", **row, beside=f"{f['doors http']:.0f} MB/s")
    yield Row("D5", "memory of 1,000 idle connections", **most(f["doors idle"] / 1e6, 20, "{:.1f} MB"))


def far(f):
    image = f["far image"]
    row = most(f["far summaries"] / image, 0.002, "{:.2%}")
    yield Row("F3", "bytes of indexes before `stat initrd.img`, of the compressed images", **row, beside=f"{mb(f['far before stat'])} of {mb(image)} in all, with manifests and a look at the kernel")
    yield Row("F3", "answers waited for one after another, three for manifests included", **most(f["far answers"], 6.5, "{:.1f}"))
    row = most(f["far kept index"] / image, 0.015, "{:.2%}")
    yield Row("F5", "disk with `--store index`, after a pass and a full read", **row, beside=mb(f["far kept index"]))
    yield Row("F5", "disk with `--store none`", **most(f["far kept none"], 0, "{:.0f} bytes"))
    ratio = f["far mounts 32"] / f["far mounts 1"]
    beside = f"{mb(f['far mounts 32'])} against {mb(f['far mounts 1'])}"
    yield Row("F6", "bytes from the registry for 32 mounts of one cache, of one mount's", **most(ratio, 1.05), beside=beside)
    for name in ("inspect", "lock"):
        beside = mb(f[f"far {name}"])
        row = most(f[f"far {name}"] / image, 0.002, "{:.2%}")
        yield Row("F7", f"fetched by `{name}`, of the compressed images", **row, beside=beside)
    ratio = f["far index questions"] / f["far images"]
    yield Row("F8", "questions for indexes before `stat initrd.img`, of the number of images", **most(ratio, 1.0))


def far_boot(f):
    image = f["far image"]
    beside = f"{mb(f['far boot alone bytes'])}; with a read list {f['far boot list bytes'] / image:.1%}"
    row = most(f["far boot alone bytes"] / image, 0.05, "{:.1%}")
    yield Row("F1", "fetched when the guest's prompt appears, of the compressed images", **row, beside=beside)
    beside = f"{f['far boot list']:.0f} s against {f['far boot here']:.0f} s; without a list {f['far boot alone']:.0f} s"
    row = most(f["far boot list"] / f["far boot here"], 1.15)
    yield Row("F2", "time to prompt at 3 MB/s with a read list, of that from local blobs", **row, beside=beside)
    beside = f"without a list {f['far boot alone ranges']:.0f}"
    yield Row("F4", "ranges to the prompt with a read list", **most(f["far boot list ranges"], 20, "{:.0f}"), beside=beside)


def roots(f):
    beside = f"{f['root seconds']:.1f} s, out of gzip, against {f['root mksquashfs']:.1f} s, out of unpacked files in memory"
    row = least(f["root mksquashfs"] / f["root seconds"], 1.0)
    yield Row("O2", "squashfs in zstd of the large image, times as fast as mksquashfs", **row, beside=beside)
    beside = f"{mb(f['root size'])} against {mb(f['root peer size'])}"
    yield Row("O2", "its size, of mksquashfs'", **most(f["root size"] / f["root peer size"], 1.03, "{:.3f}"), beside=beside)
    yield Row("O2", "peak anonymous memory meanwhile", **most(f.top("root memory") / 1e6, 150, "{:.0f} MB"))


def enclave(f):
    beside = f"{f['enclave']:.1f} s against {f['enclave alone']:.1f} s, one after the other on one core"
    row = most(f["enclave"] / f["enclave alone"], 1.1)
    yield Row("O1", f"`lkit measure` of an EIF of {f['enclave size'] / 1e9:.1f} GB, of decoding by P and SHA-384 by OpenSSL", **row, beside=beside)
    yield Row("O1", "peak anonymous memory of that", **most(f["enclave memory"] / 1e6, 96, "{:.0f} MB"))
    yield Row("O1", "bytes written by that", **most(f["enclave written"], 0, "{:.0f} bytes"))


def push(f):
    size, mount = f["push size"] / 1e9, f["push mount"]
    beside = f"{f['push sink']:.0f} MB/s against {mount:.0f} MB/s; {f['push moto']:.0f} MB/s to moto, as fast as that takes it"
    row = least(f["push sink"] / mount, 0.8)
    yield Row("O4", f"`lkit push s3` of a disk of {size:.1f} GB to a server that reads and forgets, of reading it through a mount", **row, beside=beside)
    yield Row("O4", "peak anonymous memory of that, also to moto", **most(f.top("push memory") / 1e6, 96, "{:.0f} MB"))
    yield Row("O4", "bytes written by that", **most(f.top("push written"), 0, "{:.0f} bytes"))
