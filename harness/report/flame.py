"""Lays out a flame graph: who had the processor over a boot, and what of them, as boxes below the whole. Pure.

Widths are µs of the processor; nothing across is time. It is drawn from above to below (an icicle), largest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ROW = 18.0  # height of a row, in the units of the box
LETTER = 6.6  # width of a letter
LEAST = 0.0005  # of the whole: what is narrower is one box, so that the widths still add up
SMALLER = "smaller ones"
COLOURS = {"kernel": "kernel", "containers": "service", "init": "init", "idle": "stage"}


@dataclass(frozen=True)
class FlameBox:
    """A box: its place and size, in the units of the drawing, and what it is. An empty ``label`` has no room."""

    x: float
    y: float
    width: float
    label: str
    title: str
    colour: str


@dataclass(frozen=True)
class Flame:
    """A drawing, its boxes from above to below."""

    width: float
    height: float
    us: int
    boxes: tuple[FlameBox, ...]


@dataclass(frozen=True)
class _Drawn:
    """The whole in µs, and how wide a µs is."""

    us: int
    scale: float


@dataclass(frozen=True)
class _Row:
    """Some stacks that have their first `depth` frames in common, drawn from `x` on."""

    stacks: Mapping[tuple[str, ...], int]
    depth: int
    x: float


def flame(stacks: Mapping[tuple[str, ...], int], width: float) -> Flame | None:
    """Return the drawing of stacks, each with its µs, the outermost frame first; None where there is nothing."""
    whole = sum(stacks.values())
    if not whole:
        return None
    boxes = [FlameBox(0.0, 0.0, width, "the boot", _title("the boot", whole, whole), "other")]
    boxes += _below(_Row(stacks, 0, 0.0), _Drawn(whole, width / whole))
    return Flame(width, max(box.y for box in boxes) + ROW, whole, tuple(boxes))


def _below(row: _Row, drawn: _Drawn) -> Iterator[FlameBox]:
    """Yield the boxes of a row's next frames, largest first, each with those below it; the narrow ones as one."""
    groups: dict[str, dict[tuple[str, ...], int]] = {}
    for stack, us in row.stacks.items():
        if len(stack) > row.depth and us > 0:
            groups.setdefault(stack[row.depth], {})[stack] = us
    sized = [(sum(group.values()), name, group) for name, group in groups.items()]
    x, narrow, kind = row.x, 0, ""
    for us, name, group in sorted(sized, key=lambda one: (-one[0], one[1])):
        kind = next(iter(group))[0] if row.depth else name
        if us < LEAST * drawn.us:
            narrow += us
            continue
        yield _box(name, us, x, row.depth, drawn, kind)
        yield from _below(_Row(group, row.depth + 1, x), drawn)
        x += us * drawn.scale
    if narrow:
        yield _box(SMALLER, narrow, x, row.depth, drawn, kind)


def _box(name: str, us: int, x: float, depth: int, drawn: _Drawn, kind: str) -> FlameBox:
    width = us * drawn.scale
    room = int((width - 6) / LETTER)
    label = name if len(name) <= room else f"{name[: room - 1]}…" if room > 3 else ""
    return FlameBox(x, (depth + 1) * ROW, width, label, _title(name, us, drawn.us), COLOURS.get(kind, "other"))


def _title(name: str, us: int, whole: int) -> str:
    return f"{name}: {us / 1000:.3f} ms, {100 * us / whole:.1f} %"
