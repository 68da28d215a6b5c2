"""Lays out what an image's bytes are spent on: its parts, and within them their largest files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.build import explain
from harness.report.treemap import Rect, squarify
from harness.report.words import data

FILES_SHOWN = 12
GAP = 1.5  # between rectangles, in the map's unit
HEAD = 19.0  # of a part that shows its files
LETTER = 0.6  # a letter's width in its height: more than most fonts take
FONT = 12.0
LEAST = 5.0  # narrower and lower than this nothing is drawn
COLOURS = {"kernel": "kernel", "first stage": "stage", "init": "init", "services": "service"}
ELSE = "other"
_COUNT = re.compile(r"\d+ ")


@dataclass(frozen=True)
class SizePart:
    """Something that takes up ``size`` bytes of what is shipped, and what of it is known by name."""

    name: str
    size: int
    parts: tuple[SizePart, ...] = ()


@dataclass(frozen=True)
class Tile:
    """A rectangle with its colour's name and a label that fits in; ``title`` says all. ``inner``: a file of a part."""

    rect: Rect
    colour: str
    label: str
    title: str
    inner: bool = False


@dataclass(frozen=True)
class Map:
    """A treemap, ``width`` by ``height``."""

    width: float
    height: float
    tiles: tuple[Tile, ...]


def parts(sizes: Mapping[str, int], manifest: Mapping[str, Any] | None) -> tuple[SizePart, ...]:
    """Return an image's parts, largest first; with its manifest they have the files that make them large."""
    files: dict[str, list[SizePart]] = {}
    if manifest:
        at = ""
        for row in explain.rows(manifest, files_shown=FILES_SHOWN):
            if row.depth <= 2:
                at = row.label
            elif row.size:
                files.setdefault(at, []).append(SizePart(row.label, row.size))
    found = [SizePart(name, size, _within(files.get(name, ()), size)) for name, size in sizes.items() if size > 0]
    return tuple(sorted(found, key=lambda part: (-part.size, part.name)))


def _within(files: Sequence[SizePart], size: int) -> tuple[SizePart, ...]:
    """Return a part's files unless they are more than the part: rounding may make them a byte more."""
    return tuple(sorted(files, key=lambda part: -part.size)) if sum(file.size for file in files) <= size * 1.01 else ()


def colour(name: str) -> str:
    """Return the name of a part's colour: services have one, the kernel and its modules, and so on."""
    return COLOURS.get(name.partition("/")[0], ELSE)


def layout(found: Sequence[SizePart], width: float, height: float) -> Map:
    """Return the treemap of some parts."""
    return Map(width, height, tuple(_tiles(found, width, height)))


def _tiles(found: Sequence[SizePart], width: float, height: float) -> Iterator[Tile]:
    total = sum(part.size for part in found) or 1
    for part, outer in zip(found, squarify([part.size for part in found], Rect(0, 0, width, height)), strict=True):
        rect = outer.inset(GAP / 2)
        title = f"{part.name}: {data(part.size)}, {part.size / total:.1%}"
        if min(rect.width, rect.height) < 1:
            continue
        yield Tile(rect, colour(part.name), _label(part.name, data(part.size), rect), title)
        room = rect.inset(GAP, HEAD)
        if part.parts and min(room.width, room.height) >= 2 * LEAST:
            yield from _files(part, room, total)


def _files(part: SizePart, room: Rect, total: int) -> Iterator[Tile]:
    for file, outer in zip(part.parts, squarify([file.size for file in part.parts], room), strict=True):
        rect = outer.inset(GAP / 2)
        if min(rect.width, rect.height) >= LEAST:
            title = f"{part.name}: {file.name}: about {data(file.size)}, {file.size / total:.1%}"
            yield Tile(rect, colour(part.name), _label(file.name.rpartition("/")[2], "", rect), title, inner=True)


def _label(name: str, note: str, rect: Rect) -> str:
    """Return as much of a name, and of what stands behind it, as a rectangle has room for."""
    room = int((rect.width - 8) / (FONT * LETTER))
    if rect.height < FONT + 3 or room < 3:
        return ""
    whole = f"{name}  {note}".rstrip()
    if len(whole) <= room:
        return whole
    if len(name) <= room:
        return name
    return "" if _COUNT.match(name) else f"{name[: room - 1]}…"  # what is left of "16 smaller files" tells nothing
