"""The kernel image: Debian's kernel, and `kernel.tar` with a subset of its modules."""
import pathlib
import re
import shutil

import debian
import layer

WANTED = pathlib.Path(__file__).with_name("modules.txt")
# Read by depmod, or by people; not needed by modprobe.
LISTS = ["modules.builtin", "modules.builtin.modinfo", "modules.order"]
FOR_MODPROBE = ["modules.alias", "modules.builtin", "modules.dep", "modules.softdep", "modules.symbols"]


def name_of(module):
    """The kernel takes `-` and `_` for the same."""
    return pathlib.Path(module).name.removesuffix(".ko").replace("-", "_")


def dependencies(path):
    """The `depends=` string of a module's `.modinfo` section."""
    found = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
    return [name_of(n) for n in found[1].decode().split(",") if n] if found else []


def closure(tree):
    """The wanted modules and all they depend on, as paths below `tree`."""
    available = {name_of(p): p for p in tree.rglob("*.ko")}
    words = " ".join(line for line in WANTED.read_text().splitlines() if not line.startswith("#")).split()
    queue, picked = [name_of(w) for w in words], {}
    while queue:
        name = queue.pop()
        if name in available and name not in picked:
            picked[name] = available[name]
            queue += dependencies(available[name])
    return sorted(picked.values())


def staged(packages, stage):
    """Copy the subset to `stage` and make the tables that modprobe reads."""
    debian.need("depmod", "kmod")
    tree = next((packages.unpacked("linux-image") / "lib/modules").iterdir())
    target = stage / "lib/modules" / tree.name
    for source in [*closure(tree), *(tree / n for n in LISTS)]:
        copy = target / source.relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    debian.run("depmod", "-b", str(stage), tree.name, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return target


def make(packages):
    """The files of the image: (kernel, kernel.tar)."""
    stage = packages.root / "kernel"
    shutil.rmtree(stage, ignore_errors=True)
    tree = staged(packages, stage)
    modules = layer.Layer()
    for source in tree.rglob("*"):
        if source.suffix == ".ko" or source.name in FOR_MODPROBE:
            modules.file(str(source.relative_to(stage)), source.read_bytes())
    kernel = next((packages.unpacked("linux-image") / "boot").glob("vmlinuz-*")).read_bytes()
    return kernel, modules.tar()
