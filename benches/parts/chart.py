"""The picture: bars of lkit beside what it is compared with, as SVG."""
import dataclasses
from xml.sax.saxutils import escape

WIDTH, LABEL, BAR, LINE, TITLE = 860, 250, 460, 26, 44
OURS, THEIRS, LIMIT = "#2563eb", "#9ca3af", "#d97706"


@dataclasses.dataclass
class Panel:
    """Bars of one unit: (label, value, text, colour)."""
    title: str
    bars: list


def panels(f):
    """What there are figures for."""
    found = [
        Panel("Reading 900 MB of initrd.img, none of it in the page cache: MB/s (more is better)", speeds(f)),
        Panel("From nothing to a complete initrd, from a registry: seconds (less is better)", firsts(f)),
        Panel("Mounting what was mounted before: milliseconds (less is better)", mounts(f)),
        Panel("Slowest of a hundred random reads of 4 KiB: milliseconds (less is better)", slowest(f)),
        Panel("Peak anonymous memory: MB (less is better)", memory(f)),
    ]
    return [panel for panel in found if len(panel.bars) > 1]


def bars(f, wanted, text, scale=1):
    return [(label, f[name] * scale, text.format(f[name] * scale), colour) for label, name, colour in wanted if name in f]


def speeds(f):
    return bars(f, [
        ("lkit, as root", "read root", OURS), ("lkit, as an ordinary user", "read user", OURS),
        ("lkit, one worker", "read one worker", OURS), ("decoding alone, one core (zlib-rs)", "P gzip", LIMIT),
        ("ratarmount, rapidgzip", "rapidgzip read", THEIRS), ("ratarmount, indexed_gzip", "indexed_gzip read", THEIRS),
    ], "{:.0f}")


def firsts(f):
    found = bars(f, [
        ("lkit mount, read initrd.img", "nothing to initrd", OURS), ("skopeo, umoci, cpio", "by hand", THEIRS),
        ("linuxkit build", "linuxkit build", THEIRS),
    ], "{:.1f}")
    return found


def mounts(f):
    return bars(f, [
        ("lkit, small spec", "mount small", OURS), ("lkit, 25,000 files", "mount large", OURS),
        ("lkit, a line of the spec changed", "remount changed", OURS), ("lkit, a million files", "mount million", OURS),
        ("ratarmount, 23,000 files", "rapidgzip mount", THEIRS),
    ], "{:.1f}", 1e3)


def slowest(f):
    return bars(f, [
        ("lkit", "random p99", OURS), ("ratarmount, rapidgzip", "rapidgzip p99", THEIRS),
        ("ratarmount, indexed_gzip", "indexed_gzip p99", THEIRS),
    ], "{:.1f}", 1e3)


def memory(f):
    wanted = [("lkit, reading", ["memory read"], OURS), ("lkit, first mount", ["memory first"], OURS),
              ("ratarmount, rapidgzip", ["memory rapidgzip"], THEIRS),
              ("ratarmount, indexed_gzip", ["memory indexed_gzip"], THEIRS)]
    found = [(label, f.top(*names) / 1e6, colour) for label, names, colour in wanted if f.top(*names)]
    return [(label, value, f"{value:.0f}", colour) for label, value, colour in found]


def svg(f, subtitle):
    """The whole picture."""
    parts, y = [], 58
    for panel in panels(f):
        parts.append(text(20, y + 24, panel.title, "font-weight='600'"))
        y += TITLE - 8
        top = max(value for _, value, _, _ in panel.bars)
        for label, value, figure, colour in panel.bars:
            length = max(2, BAR * value / top)
            parts.append(text(LABEL, y + 15, label, "text-anchor='end'"))
            parts.append(f"<rect x='{LABEL + 10}' y='{y + 2}' width='{length:.1f}' height='18' rx='2' fill='{colour}'/>")
            parts.append(text(LABEL + 16 + length, y + 15, figure))
            y += LINE
        y += 8
    head = [text(20, 28, "lkit: speed and memory", "font-size='18' font-weight='600'"), text(20, 48, subtitle, "fill='#6b7280'")]
    size = f"width='{WIDTH}' height='{y + 8}' viewBox='0 0 {WIDTH} {y + 8}'"
    style = "font-family='system-ui, sans-serif' font-size='13' fill='#111827'"
    body = "\n".join(["<rect width='100%' height='100%' fill='#ffffff'/>", *head, *parts])
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {style}>\n{body}\n</svg>\n"


def text(x, y, words, more=""):
    return f"<text x='{x:.1f}' y='{y}' {more}>{escape(words)}</text>"
