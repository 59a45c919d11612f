"""One layer as an uncompressed tar: sorted, owned by root, all times the same."""
import io
import os
import pathlib
import tarfile

MTIME = 1704067200  # 2024-01-01, as `layout.CREATED`
GUEST = pathlib.Path(__file__).resolve().parent.parent / "guest"


class Layer:
    def __init__(self):
        self.entries = {}
        self.contents = {}

    def _put(self, path, kind, mode, **fields):
        path = path.strip("/")
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime = kind, mode, MTIME
        for name, value in fields.items():
            setattr(entry, name, value)
        self.entries[path] = entry
        for parent in pathlib.PurePosixPath(path).parents:
            if str(parent) != "." and str(parent) not in self.entries:
                self._put(str(parent), tarfile.DIRTYPE, 0o755)
        return self

    def dir(self, path, mode=0o755, uid=0, gid=0):
        return self._put(path, tarfile.DIRTYPE, mode, uid=uid, gid=gid)

    def file(self, path, data, mode=0o644, xattrs=None):
        data = data.encode() if isinstance(data, str) else data
        self.contents[path.strip("/")] = data
        # The PAX keyword every tar uses for extended attributes.
        headers = {f"SCHILY.xattr.{name}": value for name, value in (xattrs or {}).items()}
        return self._put(path, tarfile.REGTYPE, mode, size=len(data), pax_headers=headers)

    def symlink(self, path, target):
        return self._put(path, tarfile.SYMTYPE, 0o777, linkname=target)

    def hardlink(self, path, target):
        """`target` must sort before `path`: a tar's link names an earlier entry."""
        assert target.strip("/") < path.strip("/") and target.strip("/") in self.entries
        return self._put(path, tarfile.LNKTYPE, self.entries[target.strip("/")].mode, linkname=target.strip("/"))

    def whiteout(self, path):
        """Hide `path` of the layers below (image-spec, layer.md, "Whiteouts")."""
        folder, name = os.path.split(path.strip("/"))
        return self.file(f"{folder}/.wh.{name}", b"")

    def opaque(self, path):
        """Hide all that the layers below have in this directory."""
        return self.dir(path).file(f"{path.strip('/')}/.wh..wh..opq", b"")

    def copy(self, root, path, to=None):
        """A file of an unpacked package; a symbolic link becomes a file of its own name with the target's content."""
        source = pathlib.Path(root) / path.strip("/")
        if source.is_symlink():
            target = os.readlink(source)
            source = pathlib.Path(root) / target.lstrip("/") if target.startswith("/") else source.parent / target
        return self.file(to or path, source.read_bytes(), source.stat().st_mode & 0o755)

    def copy_tree(self, root, path):
        """A folder of an unpacked package, links kept."""
        for source in sorted((pathlib.Path(root) / path.strip("/")).rglob("*")):
            name = str(source.relative_to(root))
            if source.is_symlink():
                self.symlink(name, os.readlink(source))
            elif source.is_dir():
                self.dir(name)
            else:
                self.copy(root, name)
        return self

    def guest(self, name):
        """Our own files of an image, from `tools/guest/NAME`."""
        for source in sorted((GUEST / name).rglob("*")):
            path = str(source.relative_to(GUEST / name))
            if source.is_symlink():
                self.symlink(path, os.readlink(source))
            elif source.is_file():
                self.file(path, source.read_bytes(), 0o755 if source.stat().st_mode & 0o100 else 0o644)
        return self

    def tar(self):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(self.entries):
                data = self.contents.get(path)
                archive.addfile(self.entries[path], io.BytesIO(data) if data is not None else None)
        return out.getvalue()
