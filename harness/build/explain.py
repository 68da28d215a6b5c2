"""What makes an image large, as rows of a tree and as lines of text. Pure: works on the manifest alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FILES_SHOWN = 5
WORTH = 10_000  # bytes: what is less shows as 0.00 or 0.01 MB, and is summed up
FIGURES = len(" 1234.56 MB 100%")
BARS = ((100, 20), (72, 10), (0, 0))  # from which width on, how many columns of bar
LEAST = 12  # columns for what a row is about, however narrow the terminal

# What lies before a path as its component has it: the bundle or volume that it is in, the kernel's modules' folder.
_ABOVE = re.compile(r"containers/[^/]+/[^/]+/(?:(?:rootfs|lower|merged)/)?|usr/lib/modules/[^/]+/(?=kernel/)")


@dataclass(frozen=True)
class SizeRow:
    """One line: how deep, what, bytes of the shipped image, and that as a share of the whole (0 to 1)."""

    depth: int
    label: str
    size: int
    share: float
    is_path: bool = False
    note: str = ""


def rows(manifest: Mapping[str, Any], files_shown: int = FILES_SHOWN) -> Iterator[SizeRow]:
    """Yield the image's parts, largest first at every level.

    A component's bytes are its share of the compressed root by its own unpacked bytes: content that an earlier
    component has too is stored once and counted there; the later one's note says how much that is.
    """
    shipped = {row["name"]: int(row["size"]) for row in manifest["files"] if row["shipped"]}
    total = sum(shipped.values())
    carrier = str(manifest["root"].get("file", "initrd"))
    root = int(manifest["root"].get("stored", manifest["root"]["size"]))
    unpacked = sum(int(row["own"]) for row in manifest["components"]) or 1
    factor = root / unpacked

    how = f"{manifest['compression']}, " if root == manifest["root"]["size"] else ""

    def row(depth: int, label: str, size: float, note: str = "", *, is_path: bool = False) -> SizeRow:
        return SizeRow(depth, label, round(size), size / total if total else 0.0, is_path, note)

    yield row(0, f"{manifest['name']} {manifest['arch']}", total)
    parts: list[tuple[float, str]] = [(size, name) for name, size in shipped.items() if name != carrier]
    if shipped[carrier] > root:
        parts.append((shipped[carrier] - root, "first stage and its modules"))
    parts.append((root, "root filesystem"))
    for size, label in sorted(parts, reverse=True):
        if label == "root filesystem":
            yield row(1, label, size, f"{how}{unpacked / 1e6:.1f} MB unpacked")
            yield from _components(manifest, factor, row, files_shown)
        else:
            yield row(1, label, size)


def _components(
    manifest: Mapping[str, Any], factor: float, row: Callable[..., SizeRow], files_shown: int
) -> Iterator[SizeRow]:
    seen: set[str] = set()
    found = []
    for component in manifest["components"]:
        new = []
        for path, size, digest in component["files"]:
            if digest not in seen:
                seen.add(digest)
                new.append((size, _ABOVE.sub("", path, count=1)))
        found.append((int(component["own"]), component, sorted(new, reverse=True)))
    for own, component, files in sorted(found, key=lambda item: -item[0]):
        shared = (int(component["size"]) - own) * factor
        note = f"+{shared / 1e6:.2f} MB shared" if shared >= WORTH else ""
        yield row(2, f"{component['section']}/{component['name']}", own * factor, note)
        large = [file for file in files[:files_shown] if file[0] * factor >= WORTH]
        for size, path in large:
            yield row(3, path, size * factor, is_path=True)
        rest = files[len(large) :]
        if rest:
            count = f"{len(rest)} smaller files" if large else f"{len(rest)} files" if len(rest) > 1 else "1 file"
            yield row(3, count, sum(size for size, _ in rest) * factor)


def lines(manifest: Mapping[str, Any], width: int) -> Iterator[str]:
    """Yield the tree as text, no line wider than `width`; a path that is too long loses its beginning."""
    found = list(rows(manifest))
    bar = next(columns for least, columns in BARS if width >= least)
    room = max(LEAST, width - FIGURES - (bar + 1 if bar else 0))
    labels = [_label(row, room) for row in found]
    widest = max(map(len, labels))
    for row, label in zip(found, labels, strict=True):
        drawn = "█" * round(row.share * bar)
        yield f"{label:{widest}} {row.size / 1e6:7.2f} MB {row.share:4.0%} {drawn}"[:width].rstrip()


def _label(row: SizeRow, room: int) -> str:
    indent = "  " * row.depth
    whole = f"{row.label} ({row.note})" if row.note else row.label
    if len(indent) + len(whole) <= room:
        return indent + whole
    return indent + (_tail if row.is_path else _head)(row.label, room - len(indent))


def _head(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _tail(path: str, room: int) -> str:
    """Leave out the folders at the beginning of a path, and when its name alone is too long, that one's beginning."""
    if len(path) <= room:
        return path
    parts = path.split("/")
    shorter = ("…/" + "/".join(parts[number:]) for number in range(1, len(parts)))
    return next((text for text in shorter if len(text) <= room), "…" + path[len(path) - room + 1 :])
