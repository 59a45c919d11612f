#!/usr/bin/env python3
"""Makes the small examples in corpus/ that fuzzing starts from. Needs zstd, xz, lz4 and a built lkit:

    tests/fuzz/seeds.py target/debug/lkit
"""
import gzip, hashlib, io, json, pathlib, random, struct, subprocess, sys, tarfile, tempfile, zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"
# Targets with pieces of random sizes take their seed from the first four bytes.
SEED = b"\0\0\0\1"
WORDS = b"a few words that come again and again, and " * 40


def keep(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def deflate(data, level=6, strategy=zlib.Z_DEFAULT_STRATEGY):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return packer.compress(data) + packer.flush()


def zstd(data, *options):
    return subprocess.run(["zstd", "-qc", *options], input=data, stdout=subprocess.PIPE, check=True).stdout


def tar(format, *members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, kind, content, pax in members:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.pax_headers = kind, 1, pax
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = content
            elif kind == tarfile.REGTYPE:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    # Two blocks of zeros end it, Python pads to 20.
    return aligned(out.getvalue().rstrip(b"\0")) + bytes(1024)


def aligned(data):
    return data + bytes(-len(data) % 512)


def old_sparse():
    block = bytearray(tarfile.TarInfo("hole").tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157] = b"00000000012\0", b"S"
    block[386:410], block[483:495] = b"00000000000\x0000000000005\0", b"00000010000\0"
    block[410:434] = b"00000004000\x0000000000005\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + aligned(b"helloworld") + bytes(1024)


FILES = [
    ("etc/", tarfile.DIRTYPE, None, {}),
    ("etc/motd", tarfile.REGTYPE, b"hello\n", {"SCHILY.xattr.user.k": "v", "mtime": "-1.5"}),
    ("etc/link", tarfile.SYMTYPE, "motd", {}),
    ("etc/hard", tarfile.LNKTYPE, "etc/motd", {}),
    ("etc/.wh.gone", tarfile.REGTYPE, b"", {}),
    ("dev/null", tarfile.CHRTYPE, None, {}),
]
LONG = [("long/" * 40 + "name", tarfile.REGTYPE, b"x", {}), ("l", tarfile.SYMTYPE, "target/" * 30, {})]
USTAR = tar(tarfile.USTAR_FORMAT, *FILES)


def streams():
    for name, data in {
        "empty": deflate(b""),
        "stored": deflate(WORDS[:300], 0),
        "fixed": deflate(WORDS, 9, zlib.Z_FIXED),
        "dynamic": deflate(WORDS + bytes(range(256)) * 3),
        "runs": deflate(bytes(40000), 9, zlib.Z_RLE),
        "cut": deflate(WORDS)[:-3],
        "two-blocks": deflate(WORDS)[:-1] + deflate(b"more"),
    }.items():
        keep("inflate", name, SEED + data)
    flags = b"\x1f\x8b\x08\x1e\0\0\0\0\0\3\2\0xyname\0comment\0"
    flags += struct.pack("<H", zlib.crc32(flags) & 0xFFFF)
    whole = gzip.compress(WORDS, mtime=0)
    trailer = struct.pack("<II", zlib.crc32(b"flags"), 5)
    for name, data in {
        "member": whole,
        "all-flags": flags + deflate(b"flags") + trailer,
        "members": whole + gzip.compress(b"", mtime=0) + flags + deflate(b"flags") + trailer,
        "zeros-behind": whole + bytes(20),
        "wrong-checksum": whole[:-6] + b"xx" + whole[-4:],
    }.items():
        keep("gzip", name, SEED + data)
    frame = zstd(WORDS)
    for name, data in {
        "frame": frame,
        "frames": frame + zstd(b"", "--no-check") + b"\x52\x2a\x4d\x18\3\0\0\0abc" + zstd(b"x" * 5000),
        "large-window": zstd(WORDS, "--long=26", "--single-thread"),
        "cut": frame[:-5],
    }.items():
        keep("zstd", name, SEED + data)
    unpacked = {"xz": ["xz", "-qc"], "zstd": ["zstd", "-qc"], "lz4": ["lz4", "-qlc"]}
    for name, command in unpacked.items():
        stream = subprocess.run(command, input=WORDS, stdout=subprocess.PIPE, check=True).stdout
        keep("unpacked", name, stream + len(WORDS).to_bytes(4, "little"))
        keep("unpacked", name + "-cut", stream[:-9] + len(WORDS).to_bytes(4, "little"))


def tars():
    pax = {"path": "p/" * 70, "size": "3", "uid": "70000", "SCHILY.xattr.user.a": "\0=\n"}
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4096", "GNU.sparse.name": "s"}
    run = aligned(b"2\n0\n3\n4093\n3\n") + b"abcdef"
    for name, data in {
        "ustar": USTAR,
        "gnu-long": tar(tarfile.GNU_FORMAT, *LONG),
        "pax": tar(tarfile.PAX_FORMAT, *FILES, ("short", tarfile.REGTYPE, b"abc", pax)),
        "sparse-1.0": tar(tarfile.PAX_FORMAT, ("s", tarfile.REGTYPE, run, sparse)),
        "sparse-0.1": tar(tarfile.PAX_FORMAT, ("s", tarfile.REGTYPE, b"abc", {
            "GNU.sparse.size": "99", "GNU.sparse.map": "0,1,90,2"})),
        "sparse-old": old_sparse(),
        "no-end": USTAR[:-1024],
    }.items():
        keep("tar", name, SEED + data)
        if name in ("ustar", "sparse-1.0"):
            keep("blob", name, SEED + data)
            keep("blob", name + "-gzip", SEED + gzip.compress(data, mtime=0))
            keep("blob", name + "-zstd", SEED + zstd(data))
    keep("blob", "long-gzip", SEED + gzip.compress(WORDS * 70, mtime=0))


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def described(kind, data):
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": digest(data), "size": len(data)}


def documents(lkit):
    # Long enough for several spans, which refer to a little of what is before them.
    noise = b"".join(random.Random(at).randbytes(4096) + WORDS[:99] for at in range(600))
    long = gzip.compress(tar(tarfile.GNU_FORMAT, *FILES, ("f", tarfile.REGTYPE, noise, {})), mtime=0)
    layers = {"gzip": gzip.compress(USTAR, mtime=0), "plain": USTAR, "long": long}
    for name, layer in layers.items():
        plain = gzip.decompress(layer) if layer[:2] == b"\x1f\x8b" else layer
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(plain)]},
            "config": {"Cmd": ["sh"], "Env": ["A=b"], "User": "1:2", "WorkingDir": "/x", "Labels": {"k": "v"}},
        }).encode()
        kind = "layer.v1.tar" + ("+gzip" if plain != layer else "")
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("config.v1+json", config), "layers": [described(kind, layer)],
        }).encode()
        entry = described("manifest.v1+json", manifest)
        entry["annotations"] = {"io.containerd.image.name": "q.io/a:latest"}
        index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        with tempfile.TemporaryDirectory() as folder:
            layout, cache = pathlib.Path(folder) / "layout", pathlib.Path(folder) / "cache"
            (layout / "blobs/sha256").mkdir(parents=True)
            for blob in (layer, config, manifest):
                (layout / "blobs/sha256" / hashlib.sha256(blob).hexdigest()).write_bytes(blob)
            (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
            (layout / "index.json").write_bytes(index)
            (layout / "x.yml").write_text("init: [q.io/a]")
            subprocess.run([lkit, "inspect", "--offline", "--arch", "amd64", "--layout", layout, "--cache", cache,
                            layout / "x.yml"], check=True, stdout=subprocess.DEVNULL)
            (found,) = (path for path in cache.rglob("*") if path.is_file() and path.read_bytes()[:8] == b"lkit-idx")
            data = found.read_bytes()
        keep("index", name, data)
        directory, toc = struct.unpack_from("<QQ", data, 104)
        packed = data[256 + directory:][:toc]
        keep("toc", name, subprocess.run(["zstd", "-dqc"], input=packed, stdout=subprocess.PIPE, check=True).stdout)
        if name == "gzip":
            keep("config", "config", config)
            keep("manifest", "manifest", manifest)
            entry["platform"] = {"architecture": "arm64", "os": "linux", "variant": "v8"}
            keep("manifest", "index", json.dumps({"schemaVersion": 2, "manifests": [entry, {}, 7]}).encode())
    keep("config", "nulls", b'{"config": null, "rootfs": {"diff_ids": null}, "variant": ""}')
    keep("manifest", "schema-1", b'{"schemaVersion": 1, "fsLayers": []}')


def texts():
    keep("spec", "minimal", b"kernel: {image: q.io/k, cmdline: 'a b'}\ninit: [q.io/a]\n")
    keep("spec", "two-texts", b"init: [q.io/a]\n\0services:\n- {name: s, image: q.io/s, uid: 5, binds: ['/a:/b:ro']}\n")
    keep("spec", "anchors", b"x: &a {name: s, image: q.io/s}\nservices:\n- *a\n- <<: *a\n  name: t\n")
    keep("spec", "files", b"files:\n- {path: a/b, contents: !!binary aGVsbG8=, mode: '0644'}\n- {path: c, directory: true}\n"
         b"- {path: m, metadata: yaml}\n- {path: l, symlink: /a}\n")
    keep("spec", "wide", "init: [q.io/\u00e4]\n".encode("utf-16"))
    keep("spec", "odd", b"--- \nvolumes:\n  - {name: v, image: q.io/v, readonly: yes}\nonboot: ~\n... # end\n")
    keep("spec", "fields", b"services:\n- name: s\n  image: q.io/s\n  capabilities: [all]\n  ulimits: ['nofile=1:2']\n"
         b"  mounts: [{type: tmpfs, options: [size=1M]}]\n  resources: {memory: {limit: 1G}, pids: {limit: 5}}\n"
         b"  runtime: {cgroups: /x, interfaces: [{name: e, add: veth}]}\n  net: host\n  rootfsPropagation: shared\n")
    keep("sbom", "spdx", b'{"predicateType": "https://spdx.dev/Document", "predicate": {"spdxVersion": "SPDX-2.3", '
         b'"packages": [{"SPDXID": "SPDXRef-p", "licenseDeclared": "MIT AND LicenseRef-x"}], '
         b'"documentDescribes": ["SPDXRef-p"], "files": [{"SPDXID": "SPDXRef-f", "fileName": "/a/../b"}]}}')
    keep("sbom", "dpkg", b"Package: a+b\nStatus: install ok installed\nArchitecture: amd64\nSource: c (1)\nVersion: 1:2-3\n"
         b"Description: x\n y: z\n\nPackage: gone\nStatus: deinstall ok config-files\n")
    keep("sbom", "apk", b'C:Q1=\nP:musl\nV:1.2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:x\n\nID=alpine\nVERSION_ID="3.20"\n')
    keep("label", "json", b'{"binds": ["/a:/b:rw,rshared"], "capabilities": ["CAP_NET_ADMIN"], "oomScoreAdj": -5}')
    keep("label", "yaml", b"net: host\nruntime:\n  mkdir: [/x]\n  mounts:\n  - {type: bind, source: /a, destination: /b}\n")
    keep("label", "wrong", b"name: x\nuid: [1]\ntmpfs: '/a:size=1'\n")


def kernels():
    head = bytearray(1024)
    head[0x1F1], head[0x1FE:0x200], head[0x202:0x206] = 1, b"\x55\xaa", b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<H", head, 0x236, 1)
    keep("pe", "bzimage", bytes(head[:0x240]))
    payload = gzip.compress(b"kernel", mtime=0)
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    keep("kernel", "bzimage", bytes(head) + payload)
    keep("kernel", "gzip", payload)
    keep("kernel", "other", b"\x7fELF")
    efi = bytearray(head[:0x240])
    efi[:2] = b"MZ"
    struct.pack_into("<I", efi, 0x3C, 0x40)
    for name, machine in (("efi-x64", 0x8664), ("efi-arm64", 0xAA64)):
        efi[0x40:0x44] = b"PE\0\0"
        struct.pack_into("<H", efi, 0x44, machine)
        struct.pack_into("<H", efi, 0x58, 0x20B)
        struct.pack_into("<I", efi, 0x90, 0x4000)
        keep("pe", name, bytes(efi))


def rings():
    """The memory of a guest: table at 0, what it offers at 256, what is answered at 512, requests from 1024."""
    read, write, indirect = 1, 3, 4

    def memory(kind, sector, chain, offers=1, tables=b""):
        table = b"".join(struct.pack("<QIHH", *entry) for entry in chain).ljust(256, b"\0")
        avail = struct.pack("<HH", 0, offers).ljust(256, b"\0")
        return (table + avail).ljust(1024, b"\0") + struct.pack("<IIQ", kind, 0, sector) + tables

    usual = [(1024, 16, read, 1), (4096, 1024, write, 2), (8192, 1, 2, 0)]
    keep("ring", "read", memory(0, 1, usual))
    keep("ring", "write", memory(1, 0, [(1024, 16, read, 1), (4096, 512, read, 2), (8192, 1, 2, 0)]))
    keep("ring", "id", memory(8, 0, [(1024, 16, read, 1), (4096, 20, write, 2), (8192, 1, 2, 0)], 3))
    table = b"".join(struct.pack("<QIHH", *entry) for entry in usual)
    keep("ring", "indirect", memory(0, 0, [(1040, len(table), indirect, 0)], 1, table))
    keep("ring", "circle", memory(0, 0, [(1024, 16, read, 1), (4096, 512, write, 1)]))
    keep("ring", "own-ring", memory(0, 0, [(1024, 16, read, 1), (0, 1024, write, 2), (600, 1, 2, 0)], 16))


def foreign():
    """Indexes that others made; ztoc/gzip is a zTOC of one short file by SOCI's rules, kept as it is."""
    golden = pathlib.Path(__file__).parents[1] / "all/layer/golden"
    blob = gzip.decompress((golden / "layer.tgz").read_bytes())
    keep("ztoc", "tar", SEED + struct.pack("<I", len(blob)) + (golden / "layer.tar.ztoc").read_bytes())
    digest = "sha256:" + "0" * 64
    row = lambda kind, name, **more: {"type": kind, "name": name, **more}
    small = [
        row("dir", "d/", modtime="2024-05-06T07:08:09Z", mode=0o755),
        row("reg", "a", size=9, offset=3, chunkSize=5, chunkDigest=digest, xattrs={"user.a": "YQ=="}),
        row("chunk", "a", offset=7, innerOffset=2, chunkOffset=5, chunkDigest=digest),
        row("symlink", "l", linkName="a"),
        row("char", "c", devMajor=1),
    ]
    zeros = [
        row("reg", "a", size=70000, offset=1, chunkSize=60000, chunkType="zeros"),
        row("chunk", "a", offset=2, chunkOffset=60000, chunkSize=10000, chunkDigest=digest),
    ]
    for name, entries in (("small", small), ("zeros", zeros)):
        keep("rows", name, SEED + json.dumps({"version": 1, "entries": entries, "tarSplitDigest": "x"}).encode())


def read_lists():
    """A read list as lkit writes it, and one in which something of everything is wrong."""
    one, other = ("sha256:" + hashlib.sha256(name).hexdigest() for name in (b"a", b"b"))
    entry = lambda digest, *ranges: {"digest": digest, "ranges": ranges}
    most = (1 << 64) - 1
    wrong = [entry("md5:0", (0, 1)), entry(one, (9, 3), (5, 7), (7, 7), (6, most), (most, 0)), entry(other), entry(one, (0, 1), (1, 2))]
    for name, layers in (("list", [entry(other, (10, 30), (50, 70)), entry(one, (0, 10))]), ("wrong", wrong)):
        keep("reads", name, json.dumps({"version": 1, "layers": layers}).encode())


def clients():
    """Clients of network block devices: how they choose, and what they ask for."""
    text = lambda value: struct.pack(">I", len(value)) + value
    option = lambda number, data=b"": b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data
    request = lambda flags, command, offset, length: struct.pack(">IHHQQI", 0x25609513, flags, command, 7, offset, length)
    flags, go = struct.pack(">I", 3), option(7, text(b"a") + struct.pack(">HH", 1, 3))
    context = option(10, text(b"a") + struct.pack(">I", 1) + text(b"base:allocation"))
    asked = option(3) + option(6, text(b"b") + b"\0\0") + option(9, text(b"a") + bytes(4)) + option(5) + option(99)
    reads = request(0, 0, 0, 15100) + request(4, 0, 6000, 4096) + request(0, 0, 15100, 1) + request(0, 7, 0, 15100)
    others = request(8, 7, 5, 100) + request(0, 1, 0, 4) + b"data" + b"".join(request(0, n, 0, 4) for n in (3, 4, 5, 6, 9, 2))
    keep("nbd", "structured", flags + option(8) + context + go + reads + others)
    keep("nbd", "simple", flags + asked + go + reads + others)
    keep("nbd", "oldest", struct.pack(">I", 0) + option(1, b"a") + reads)


streams()
tars()
clients()
foreign()
read_lists()
documents(sys.argv[1])
texts()
rings()
kernels()
