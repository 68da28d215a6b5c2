"""What the page shows of a cell against the baseline: which figures moved, and both waterfalls side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.measure.waterfalls import DiffRow
from harness.report import model


@dataclass(frozen=True)
class DiffBar:
    """A row with its bar, from ``left`` on, ``wide``, in per cent; the middle is no change."""

    row: DiffRow
    left: float
    wide: float


@dataclass(frozen=True)
class GateChange:
    """A figure that differs from the baseline's beyond its floor."""

    mode: str
    moved: model.Moved
    worse: bool


@dataclass(frozen=True)
class Against:
    """A cell as compared with the baseline."""

    cell: model.GateResult
    changes: tuple[GateChange, ...]
    diff: tuple[DiffBar, ...] = ()


def against(cell: model.GateResult) -> Against:
    """Return what the page shows of a cell that was judged."""
    rows = [DiffRow(**dict(row)) for row in cell.pairs.diff] if cell.pairs else []
    return Against(cell, tuple(_changes(cell)), bars(rows))


def _changes(cell: model.GateResult) -> Iterator[GateChange]:
    yield from (GateChange("exact", one, worse=True) for one in cell.slower)
    yield from (GateChange("size", one, worse=True) for one in cell.larger)
    for one in cell.better:
        # what became less is told the other way round, and does not say of what it is
        swapped = model.Moved(figure=one.figure, old=one.new, new=one.old, floor=one.floor)
        yield GateChange("", swapped, worse=False)


def bars(rows: Sequence[DiffRow]) -> tuple[DiffBar, ...]:
    """Return the rows with their bars: the largest change of any takes a half."""
    most = max((abs(row.us) for row in rows), default=0) or 1
    wide = [50 * abs(row.us) / most for row in rows]
    return tuple(DiffBar(row, 50 - size * (row.us < 0), size) for row, size in zip(rows, wide, strict=True))
