"""What is measured: three images beside those of tools/images, in one OCI layout, and specs that use them.

Everything is kept in target/bench and made again only when its input changes.
"""
import dataclasses
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/images.d"))

import debian  # noqa: E402
import layout  # noqa: E402
import recipes  # noqa: E402

BENCH = ROOT / "target/bench"
LAYOUT = BENCH / "layout"
SMALL_LAYOUT = ROOT / "target/images"
# Part of the keys below: change it when the way an image is made changes.
SHAPE = "1"
FOLDERS, FILES = 1000, 1000
# Images of twenty.yml, and of how many files each has one: some 15 MB an image.
PARTS, STRIDE = 20, 60


def gnu_gzip(data):
    """One member, as most layers in registries are."""
    return subprocess.run(["gzip", "-6", "-n"], input=data, check=True, stdout=subprocess.PIPE).stdout


def zstd_3(data):
    debian.need("zstd", "zstd")
    return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, check=True, stdout=subprocess.PIPE).stdout


layout.SUFFIX |= {gnu_gzip: "+gzip", zstd_3: "+zstd"}


@dataclasses.dataclass
class Made:
    """An image of the layout; its one layer as `Layer` of the program wants it."""
    reference: str
    blob: pathlib.Path
    digest: str
    size: int
    diff_id: str


def say(text):
    print(f"bench: {text}", file=sys.stderr)


def large_tar(packages, start=0, stride=1):
    """The files of all packages in one tree, or every so many of them, sorted, owned by root."""
    root = BENCH / "root"
    if not root.exists():
        for deb in sorted(packages.files.values()):
            subprocess.run(["dpkg-deb", "-x", packages.root / "debs" / deb, root], check=True)
    argv = ["tar", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=pax", "--mtime=@1704067200",
            "--pax-option=delete=atime,delete=ctime", "-C", root]
    if stride == 1:
        return subprocess.run([*argv, "-c", "."], check=True, stdout=subprocess.PIPE).stdout
    paths = sorted(path for path in root.rglob("*") if not path.is_dir() or path.is_symlink())[start::stride]
    names = b"".join(bytes(path.relative_to(root)) + b"\0" for path in paths)
    argv = [*argv, "--null", "--verbatim-files-from", "-T", "-", "-c"]
    return subprocess.run(argv, check=True, input=names, stdout=subprocess.PIPE).stdout


def million_tar():
    """A million files of 32 bytes in a thousand folders."""
    out = io.BytesIO()
    for folder in range(FOLDERS):
        entry = tarfile.TarInfo(f"million/{folder:03}")
        entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, 1704067200
        out.write(entry.tobuf(tarfile.USTAR_FORMAT))
        for file in range(FILES):
            entry = tarfile.TarInfo(f"million/{folder:03}/{file:03}.txt")
            content = hashlib.sha256(entry.name.encode()).digest()
            entry.size, entry.mtime = len(content), 1704067200
            out.write(entry.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0"))
    out.write(bytes(1024))
    return out.getvalue()


def images(packages):
    """Name, what its content depends on, and how its layer is made."""
    large = repr(sorted(packages.files.values())) + SHAPE
    return [
        ("large-gzip", large, lambda: (large_tar(packages), gnu_gzip)),
        ("large-zstd", large, lambda: (large_tar(packages), zstd_3)),
        ("million", f"{FOLDERS} {FILES} {SHAPE}", lambda: (million_tar(), gnu_gzip)),
        *((name, f"{large} {STRIDE}", lambda part=part: (large_tar(packages, part, STRIDE), gnu_gzip)) for part, name in enumerate(parts())),
    ]


def parts():
    return [f"part-{part:02}" for part in range(PARTS)]


def package_names():
    lines = (ROOT / "benches/packages.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def make():
    """Make what is missing; returns the images by name."""
    subprocess.run([ROOT / "tools/images"], check=True)
    packages = debian.Packages("amd64", BENCH / "packages")
    packages.resolve(package_names())
    out = layout.Layout(LAYOUT, BENCH / "work")
    made = {}
    # What a run that was interrupted left may not be whole.
    shutil.rmtree(BENCH / "root", ignore_errors=True)
    for name, key, build in images(packages):
        recipe = recipes.Recipe(name, f"docker.io/bench/{name}:1", [], None)
        if not out.has(recipe, "amd64", key):
            say(f"making {recipe.reference}")
            config = recipes.config("/bin/true")
            out.add(recipe, "amd64", key, recipes.Image([build()], config))
        made[name] = describe(out, recipe)
    shutil.rmtree(BENCH / "root", ignore_errors=True)
    out.write_index()
    specs()
    return made


def describe(out, recipe):
    record = json.loads(out.record(recipe, "amd64").read_text())
    read = lambda digest: json.loads(path_of(digest).read_text())  # noqa: E731
    manifest = read(record["manifest"]["digest"])
    (layer,) = manifest["layers"]
    diff_id = read(manifest["config"]["digest"])["rootfs"]["diff_ids"][0]
    return Made(recipe.reference, path_of(layer["digest"]), layer["digest"], layer["size"], diff_id)


def path_of(digest, folder=LAYOUT):
    return folder / "blobs/sha256" / digest.removeprefix("sha256:")


def layer_types(reference, folder):
    """Media types of the layers of an image for amd64 in a layout."""
    return [layer["mediaType"] for layer in layers(reference, folder)]


def layers(reference, folder):
    """Descriptors of the layers of an image for amd64 in a layout."""
    named = lambda entry: entry["annotations"]["org.opencontainers.image.ref.name"] == reference  # noqa: E731
    (entry,) = filter(named, json.loads((folder / "index.json").read_text())["manifests"])
    manifest = json.loads(path_of(entry["digest"], folder).read_text())
    if "manifests" in manifest:
        (entry,) = (entry for entry in manifest["manifests"] if entry["platform"]["architecture"] == "amd64")
        manifest = json.loads(path_of(entry["digest"], folder).read_text())
    return manifest["layers"]


def specs():
    """`small.yml` boots; the others are it with an image more."""
    folder = BENCH / "specs"
    folder.mkdir(exist_ok=True)
    small = (ROOT / "examples/linuxkit.yml").read_text()
    (folder / "small.yml").write_text(small)
    for name in ("large-gzip", "large-zstd", "million"):
        service = f"  - name: extra\n    image: bench/{name}:1\n"
        (folder / f"{name}.yml").write_text(small.replace("services:\n", f"services:\n{service}"))
    kernel = small[:small.index("onboot:")]
    large = "  - bench/large-gzip:1\n"
    (folder / "enclave.yml").write_text(kernel.replace("init:\n", f"init:\n{large}"))
    (folder / "enclave-application.yml").write_text(f"init:\n{large}")
    services = "".join(f"  - name: {name}\n    image: bench/{name}:1\n" for name in parts())
    (folder / "twenty.yml").write_text(f"services:\n{services}files:\n  - path: etc/edited\n    contents: \"0\"\n")


def spec(name):
    return BENCH / "specs" / f"{name}.yml"
