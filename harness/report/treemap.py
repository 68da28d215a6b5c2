"""Lays out a treemap: rectangles whose areas are in proportion and whose sides are as alike as can be. Pure.

Squarified treemaps (Bruls, Huizing & van Wijk 2000): rows are filled along the shorter side as long as that makes their
rectangles squarer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rect:
    """A rectangle, in the unit of the one that it is part of."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, by: float, top: float = 0.0) -> Rect:
        """Return what is left of it within a frame of width `by` and a head of height `top`; perhaps nothing."""
        width, height = max(0.0, self.width - 2 * by), max(0.0, self.height - 2 * by - top)
        return Rect(self.x + by, self.y + by + top, width, height)


def squarify(values: Sequence[float], within: Rect) -> list[Rect]:
    """Return a rectangle for each of `values`, largest first, all above 0; together they fill `within`."""
    total = sum(values)
    if not total or not within.width or not within.height:
        return [Rect(within.x, within.y, 0.0, 0.0) for _ in values]
    areas = [value / total * within.width * within.height for value in values]
    return list(_filled(areas, within))


def _filled(areas: Sequence[float], free: Rect) -> Iterator[Rect]:
    start = 0
    while start < len(areas):
        side = min(free.width, free.height)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        # the last row takes what there is, whatever rounding has left
        depth = sum(row) / side if end < len(areas) and side else max(free.width, free.height)
        yield from _row(row, free, depth)
        free = _rest(free, depth)
        start = end


def _worst(row: Sequence[float], side: float) -> float:
    """Return the longest shape of a row along `side`: the larger of width/height and height/width."""
    total = sum(row)
    if not total or not side:
        return float("inf")
    square = side * side
    return max(square * max(row) / (total * total), total * total / (square * min(row)) if min(row) else float("inf"))


def _row(row: Sequence[float], free: Rect, depth: float) -> Iterator[Rect]:
    total = sum(row)
    upright = free.width >= free.height  # the row stands at the left
    side = free.height if upright else free.width
    at = 0.0
    for area in row:
        length = side * area / total if total else 0.0
        yield Rect(free.x, free.y + at, depth, length) if upright else Rect(free.x + at, free.y, length, depth)
        at += length


def _rest(free: Rect, depth: float) -> Rect:
    if free.width >= free.height:
        return Rect(free.x + depth, free.y, max(0.0, free.width - depth), free.height)
    return Rect(free.x, free.y + depth, free.width, max(0.0, free.height - depth))
