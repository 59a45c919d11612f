"""An OCI image layout (image-spec 1.1, image-layout.md), written so that equal input gives equal bytes."""
import gzip
import hashlib
import json
import os
import pathlib
import subprocess

import debian

MEDIA = "application/vnd.oci.image."
# One fixed time for everything, so that a rerun gives the same digests.
CREATED = "2024-01-01T00:00:00Z"
# Small enough that a layer of a few megabytes has several gzip members.
MEMBER = 1 << 20


def plain(data):
    return data


def gzipped(data):
    return gzip.compress(data, 6, mtime=0)


def gzip_members(data):
    """What parallel gzip writers make: RFC 1952 allows any number of members, one after the other."""
    return b"".join(gzipped(data[i:i + MEMBER]) for i in range(0, len(data), MEMBER))


def zstd(data):
    debian.need("zstd", "zstd")
    return subprocess.run(["zstd", "-q", "-c", "-10"], input=data, check=True, stdout=subprocess.PIPE).stdout


SUFFIX = {plain: "", gzipped: "+gzip", gzip_members: "+gzip", zstd: "+zstd"}


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """The layout in `root`; records of what was made, and of what, in `work`."""

    def __init__(self, root, work):
        self.root, self.work = root, work
        self.records = work / "records"
        (root / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        self.records.mkdir(parents=True, exist_ok=True)
        (root / "oci-layout").write_bytes(encode({"imageLayoutVersion": "1.0.0"}))

    def blob(self, data):
        digest = hashlib.sha256(data).hexdigest()
        path = self.root / "blobs/sha256" / digest
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_bytes(data)
            os.replace(part, path)
        return f"sha256:{digest}"

    def record(self, recipe, arch):
        return self.records / f"{recipe.name}.{arch}.json"

    def has(self, recipe, arch, key):
        """Whether this image was made from the same input, and its blobs are still there."""
        record = self.record(recipe, arch)
        if not record.exists():
            return False
        made = json.loads(record.read_text())
        return made["key"] == key and all(self.exists(digest) for digest in made["blobs"])

    def exists(self, digest):
        return (self.root / "blobs/sha256" / digest.removeprefix("sha256:")).exists()

    def add(self, recipe, arch, key, image):
        """Write an image: layers are (tar bytes, compression), config is the image config's `config`."""
        layers, diff_ids = [], []
        for tar, compress in image.layers:
            data = compress(tar)
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
            layers.append({"mediaType": f"{MEDIA}layer.v1.tar{SUFFIX[compress]}", "size": len(data), "digest": self.blob(data)})
        config = encode({
            "architecture": arch, "os": "linux", "created": CREATED, "config": image.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created": CREATED, "created_by": "tools/images"} for _ in layers],
        })
        config = {"mediaType": MEDIA + "config.v1+json", "size": len(config), "digest": self.blob(config)}
        manifest = encode({"schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json", "config": config, "layers": layers})
        platform = {"architecture": arch, "os": "linux"} | ({"variant": "v8"} if arch == "arm64" else {})
        entry = {"mediaType": MEDIA + "manifest.v1+json", "size": len(manifest), "digest": self.blob(manifest), "platform": platform}
        blobs = [entry["digest"], config["digest"], *(layer["digest"] for layer in layers)]
        self.record(recipe, arch).write_bytes(encode({
            "key": key, "reference": recipe.reference, "manifest": entry, "blobs": blobs}))

    def write_index(self):
        """One entry a reference: a manifest, or an image index where both architectures were made."""
        references, keep = {}, set()
        for record in sorted(self.records.glob("*.json")):
            made = json.loads(record.read_text())
            if not all(self.exists(digest) for digest in made["blobs"]):
                continue
            references.setdefault(made["reference"], []).append(made["manifest"])
            keep.update(made["blobs"])
        entries = []
        for reference, manifests in sorted(references.items()):
            entry = dict(manifests[0])
            if len(manifests) > 1:
                index = encode({"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": manifests})
                entry = {"mediaType": MEDIA + "index.v1+json", "size": len(index), "digest": self.blob(index)}
                keep.add(entry["digest"])
            names = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
            entry["annotations"] = {name: reference for name in names}
            entries.append(entry)
        index = {"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json", "manifests": entries}
        part = self.root / "index.json.part"
        part.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        os.replace(part, self.root / "index.json")
        for blob in pathlib.Path(self.root / "blobs/sha256").iterdir():
            if f"sha256:{blob.name}" not in keep:
                blob.unlink()
