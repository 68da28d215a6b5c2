"""What makes an image large, as rows of a tree. Pure: works on the manifest alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

FILES_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """One line: how deep, what, bytes of the shipped image, and that as a share of the whole (0 to 1)."""

    depth: int
    label: str
    size: int
    share: float


def rows(manifest: Mapping[str, Any], files_shown: int = FILES_SHOWN) -> Iterator[Row]:
    """Yield the image's parts, largest first at every level.

    A component's bytes are its share of the compressed root by its own unpacked bytes: content that an earlier
    component has too is stored once and counted there.
    """
    shipped = {row["name"]: int(row["size"]) for row in manifest["files"] if row["shipped"]}
    total = sum(shipped.values())
    root = int(manifest["root"]["size"])
    unpacked = sum(int(row["own"]) for row in manifest["components"]) or 1
    factor = root / unpacked

    def row(depth: int, label: str, size: float) -> Row:
        return Row(depth, label, round(size), size / total if total else 0.0)

    yield row(0, f"{manifest['name']} {manifest['arch']}", total)
    parts: list[tuple[float, str]] = [(size, name) for name, size in shipped.items() if name != "initrd"]
    parts.append((shipped["initrd"] - root, "first stage and its modules"))
    parts.append((root, f"root filesystem ({manifest['compression']}, {unpacked / 1e6:.1f} MB unpacked)"))
    for size, label in sorted(parts, reverse=True):
        yield row(1, label, size)
        if size == root and label.startswith("root"):
            yield from _components(manifest, factor, row, files_shown)


def _components(manifest: Mapping[str, Any], factor: float, row: Any, files_shown: int) -> Iterator[Row]:
    seen: set[str] = set()
    found = []
    for component in manifest["components"]:
        new = []
        for path, size, digest in component["files"]:
            if digest not in seen:
                seen.add(digest)
                new.append((size, path))
        found.append((int(component["own"]), component, sorted(new, reverse=True)))
    for own, component, files in sorted(found, key=lambda item: -item[0]):
        shared = int(component["size"]) - own
        note = f" (+{shared / 1e6:.1f} MB unpacked shared)" if shared > 50_000 else ""
        yield row(2, f"{component['section']}/{component['name']}{note}", own * factor)
        for size, path in files[:files_shown]:
            yield row(3, path, size * factor)
        rest = files[files_shown:]
        if rest:
            yield row(3, f"{len(rest)} smaller files", sum(size for size, _ in rest) * factor)
